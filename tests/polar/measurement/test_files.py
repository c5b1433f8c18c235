"""Arrays from files that anybody may have written, and reports into files."""

import io
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.measurement import files as measurement_files
from polar.measurement.files import load_array, save_measurement
from polar.measurement.measure import measure
from polar.records.measurement import Measurement

RNG = np.random.default_rng(0)
MEAN = np.hstack([RNG.normal(size=(200, 2)), 0.01 * RNG.normal(size=(200, 2))])
VARIANCE = np.tile([0.02, 0.02, 0.98, 0.98], (200, 1))
USAGE = np.array([9.0, 8.0, 0.0, 0.01])


class Payload:
    """Its pickle runs a function of the attacker's when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("the pickle was run",)


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return measure(MEAN, VARIANCE, usage=USAGE)


@pytest.mark.parametrize(
    "array", [MEAN, MEAN.astype("f4"), np.asfortranarray(MEAN), np.array(["a", "ü"]), np.zeros(())]
)
def test_an_array_comes_back_whatever_the_file_is_called(
    array: np.ndarray, tmp_path: Path
) -> None:
    with (tmp_path / "plain").open("wb") as file:
        np.save(file, array)
    with (tmp_path / "archive").open("wb") as file:
        np.savez_compressed(file, codes=array)

    for name in ("plain", "archive"):
        loaded = load_array(tmp_path / name)

        assert loaded.dtype == array.dtype
        np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"codes": x}], ids=["bare", "in a dict"])
def test_a_tensor_comes_back(
    legacy: bool, wrap: Callable[[torch.Tensor], object], tmp_path: Path
) -> None:
    tensor = torch.from_numpy(MEAN).requires_grad_()
    torch.save(wrap(tensor), tmp_path / "codes", _use_new_zipfile_serialization=not legacy)

    np.testing.assert_array_equal(load_array(tmp_path / "codes"), MEAN)


def test_files_of_torch_run_nothing_and_hold_one_tensor(tmp_path: Path) -> None:
    torch.save({"codes": Payload()}, tmp_path / "hostile.pt")
    torch.save({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "two.pt")
    torch.save([1, 2], tmp_path / "list.pt")

    with pytest.raises(InvalidInput, match="not an array of numbers or text"):
        load_array(tmp_path / "hostile.pt")
    with pytest.raises(InvalidInput, match=r"holds 2 tensors \(a, b\); allowed: one"):
        load_array(tmp_path / "two.pt")
    with pytest.raises(InvalidInput, match="holds a list; allowed: a tensor"):
        load_array(tmp_path / "list.pt")


@pytest.mark.parametrize("has_names", [True, False])
def test_a_table_of_text_comes_back(has_names: bool, tmp_path: Path) -> None:
    table = pd.DataFrame(MEAN, columns=["a", "b", "c", "d"])
    table.to_csv(tmp_path / "codes.csv", index=False, header=has_names, float_format="%.17g")
    words = pd.DataFrame({"kind": ["cat", "dog"]})
    words.to_csv(tmp_path / "words.csv", index=False)

    np.testing.assert_allclose(load_array(tmp_path / "codes.csv"), MEAN, rtol=1e-14)
    assert load_array(tmp_path / "words.csv").tolist() == ["cat", "dog"]


def test_a_parquet_file_comes_back(tmp_path: Path) -> None:
    table = pd.DataFrame(MEAN.astype("f4"), columns=["a", "b", "c", "d"])
    table.to_parquet(tmp_path / "codes")
    table.assign(kind="cat").to_parquet(tmp_path / "mixed")

    loaded = load_array(tmp_path / "codes")

    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, MEAN.astype("f4"))
    with pytest.raises(InvalidInput, match="columns that are no numbers: kind; allowed"):
        load_array(tmp_path / "mixed")


def test_few_bytes_that_are_many_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torch.zeros(1, 1).expand(1000, 100), tmp_path / "view.pt")
    pd.DataFrame(np.zeros((1000, 100))).rename(columns=str).to_parquet(tmp_path / "same.parquet")
    monkeypatch.setattr(measurement_files, "LARGEST_INFLATED", 100_000)

    with pytest.raises(InvalidInput, match=r"inflates to 400,000 bytes; allowed: up to 100,000"):
        load_array(tmp_path / "view.pt")
    with pytest.raises(InvalidInput, match=r"inflates to 800,000 bytes; allowed: up to 100,000"):
        load_array(tmp_path / "same.parquet")


@pytest.mark.parametrize("name", ["x.csv", "x.pt", "x.parquet"])
@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", b"PAR1PAR1", b"a,b\n1\n2,3,4\n", b"\xff\xfe"]
)
def test_damaged_files_of_other_programs_are_refused(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidInput, match=name):
        load_array(tmp_path / name)


def test_what_is_not_an_array_is_refused_with_its_reason(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    saved = io.BytesIO()
    np.save(saved, MEAN)
    cases = {
        b"": "is no file of NumPy",
        b"0.1,0.2\n": "is no file of NumPy",
        saved.getvalue()[:1000]: "greater than file size",
        saved.getvalue()[:20]: "is not an array",
    }
    for content, reason in cases.items():
        wrong.write_bytes(content)

        with pytest.raises(InvalidInput, match=reason):
            load_array(wrong)

    with pytest.raises(InvalidInput, match="there is no file"):
        load_array(tmp_path / "missing")
    with pytest.raises(InvalidInput, match="is no regular file"):
        load_array(tmp_path)


def test_objects_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    hostile = np.array([Payload()], dtype=object)
    np.save(tmp_path / "objects.npy", hostile, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", codes=hostile)

    for name in ("objects.npy", "objects.npz"):
        with pytest.raises(InvalidInput, match="not an array of numbers or text"):
            load_array(tmp_path / name)


def test_an_archive_holds_one_array_and_nothing_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=MEAN, b=MEAN)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("a.txt", "words")

    with pytest.raises(InvalidInput, match=r"holds 2 arrays \(a, b\); allowed: one"):
        load_array(tmp_path / "two.npz")
    with pytest.raises(InvalidInput, match="holds no array"):
        load_array(tmp_path / "text.npz")


def test_an_archive_that_inflates_without_end_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", codes=np.zeros((1000, 100)))
    monkeypatch.setattr(measurement_files, "LARGEST_INFLATED", 100_000)

    with pytest.raises(InvalidInput, match=r"inflates to 800,\d+ bytes; allowed: up to 100,000"):
        load_array(tmp_path / "zeros.npz")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    is_archive=st.booleans(),
    changes=st.lists(st.tuples(st.integers(6, 250), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_file_is_read_or_refused(
    is_archive: bool, changes: list[tuple[int, int]], tmp_path: Path
) -> None:
    whole = io.BytesIO()
    (np.savez if is_archive else np.save)(whole, MEAN[:3])
    damaged = bytearray(whole.getvalue())
    for position, byte in changes:
        damaged[position % len(damaged)] = byte
    (tmp_path / "damaged").write_bytes(damaged)

    loaded = None
    with suppress(InvalidInput):  # any other error fails the test
        loaded = load_array(tmp_path / "damaged")

    assert loaded is None or isinstance(loaded, np.ndarray)


def test_the_folder_holds_report_tables_and_every_figure(
    measured: Measurement, tmp_path: Path
) -> None:
    paths = save_measurement(measured, tmp_path / "new" / "out", MEAN, VARIANCE, usage=USAGE)

    out = tmp_path / "new" / "out"
    assert sorted(paths) == sorted(path for path in out.rglob("*") if path.is_file())
    assert paths[-1] == out / "measurement.json"
    assert Measurement.model_validate_json(paths[-1].read_bytes()) == measured
    assert {path.stem for path in out.glob("figures/*.png")} == {
        "sorted_entropies",
        "thresholds",
        "criteria_agreement",
        "usage_against_entropy",
        "representations",
    }
    latents = pd.read_parquet(out / "latents.parquet")
    assert list(latents["judged_entropy_nats"]) == [
        latent.judged_entropy_nats for latent in measured.latents
    ]
    drawn = pd.read_csv(out / "figures" / "representations.csv")
    np.testing.assert_allclose(drawn["mean"][drawn["latent"] == 1], MEAN[:, 1])


def test_codes_without_variance_and_usage_have_fewer_figures(tmp_path: Path) -> None:
    deterministic = measure(MEAN)

    paths = save_measurement(deterministic, tmp_path, MEAN)

    assert {path.stem for path in paths if path.suffix == ".png"} == {
        "sorted_entropies",
        "thresholds",
        "criteria_agreement",
        "representations",
    }


def test_the_same_measurement_gives_the_same_bytes(measured: Measurement, tmp_path: Path) -> None:
    first, second = (
        [path.read_bytes() for path in save_measurement(measured, tmp_path / name, MEAN)]
        for name in "ab"
    )

    assert first == second


def test_other_codes_than_were_measured_are_refused(measured: Measurement, tmp_path: Path) -> None:
    out = tmp_path / "out"

    with pytest.raises(InvalidInput, match=r"mean of shape \(199, 4\); allowed: \(200, 4\)"):
        save_measurement(measured, out, MEAN[1:])

    assert not out.exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_is_refused_and_not_waited_for(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "codes.npy")

    with pytest.raises(InvalidInput, match="is no regular file"):
        load_array(tmp_path / "codes.npy")
