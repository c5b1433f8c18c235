import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
import torch

import polar
from polar.errors import CheckpointUnusable, DatasetError, DatasetMissing, InvalidInput
from polar.figures.files import write
from polar.records.events import ArtifactSaved, Result
from polar.regime.table import diagnostics_table
from polar.spec import ExperimentSpec
from service.run_figures import redraw

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 120},
        "model": {"beta": 0.5, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 20, "batch_size": 20, "checkpoint_every": 8},
        "diagnostics": {"images": 50},
        "downstream": {"splits": 2},
    }
)
#: What a run has at its end, before its findings.
AT_ONCE = {"diagnostics.parquet", "last_state.pt", "model.safetensors", "result.json"}
#: These tell how long estimators take, and result.json how long the training took.
TIMED = {
    "estimators.parquet",
    "figures/entropy_against_variance.csv",
    "figures/entropy_against_variance.png",
    "result.json",
}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended without its findings."""
    folder = tmp_path_factory.mktemp("verdict")
    list(polar.run(SPEC, out=folder, with_findings=False))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run with its findings."""
    folder = tmp_path_factory.mktemp("whole")
    list(polar.run(SPEC, out=folder))
    return folder


@pytest.fixture
def ended(verdict: Path, tmp_path: Path) -> Path:
    """A copy of the run that has ended without its findings."""
    return Path(shutil.copytree(verdict, tmp_path / "ended"))


def result_in(folder: Path) -> Result:
    content = json.loads((folder / "result.json").read_bytes())
    return Result.model_validate({k: v for k, v in content.items() if k not in ("spec", "timing")})


def test_a_run_without_findings_has_its_verdict_and_what_they_are_made_of(
    verdict: Path, whole: Path
) -> None:
    early, late = result_in(verdict), result_in(whole)

    assert names(verdict) == AT_ONCE
    assert (early.summary, early.sensitivity, early.held_out) == (None, None, None)
    assert late.explanation.startswith(early.explanation + " ")
    assert early.loss_terms is not None
    later = ("summary", "sensitivity", "held_out", "explanation")
    update = {name: getattr(late, name) for name in later}
    assert early.model_copy(update=update) == late
    table = pd.read_parquet(verdict / "diagnostics.parquet")
    history = [e for e in polar.run(SPEC, with_findings=False) if e.event == "evaluation"]
    pd.testing.assert_frame_equal(table, diagnostics_table(history), check_exact=True)


def test_findings_made_later_and_twice_are_those_of_the_whole_run_to_the_bit(
    ended: Path, whole: Path
) -> None:
    for _ in range(2):
        *saved, result = polar.complete(ended)

    assert result == result_in(whole)
    assert result == result_in(ended)
    assert names(ended) == names(whole)
    same = names(whole) - TIMED
    assert {n for n in same if (ended / n).read_bytes() != (whole / n).read_bytes()} == set()
    told = [each.name for each in saved if isinstance(each, ArtifactSaved)]
    assert told[-1] == "result.json"
    assert set(told) == names(whole) - AT_ONCE | {"result.json"}


def test_the_tables_of_a_run_give_its_pictures_again_to_the_byte(whole: Path) -> None:
    pictures = sorted(whole.glob("figures/*.png"))

    assert len(pictures) > 10
    for picture in pictures:
        again = BytesIO()
        write(redraw(picture), "png", again)
        assert again.getvalue() == picture.read_bytes()


@pytest.mark.usefixtures("unrendered")
def test_findings_that_were_given_up_in_the_middle_are_made_again(
    ended: Path, whole: Path
) -> None:
    before = (ended / "result.json").read_bytes()
    for event in polar.complete(ended):
        if isinstance(event, ArtifactSaved) and event.name.startswith("figures/"):
            break
    assert (ended / "result.json").read_bytes() == before

    *_, result = polar.complete(ended)

    assert result == result_in(whole)


@pytest.mark.usefixtures("unrendered")
def test_a_completed_run_keeps_the_timing_of_its_training(ended: Path) -> None:
    before = json.loads((ended / "result.json").read_bytes())["timing"]

    list(polar.complete(ended))

    assert json.loads((ended / "result.json").read_bytes())["timing"] == before


@pytest.mark.usefixtures("unrendered")
def test_a_state_that_was_trained_on_a_gpu_is_measured_on_the_cpu(
    ended: Path, whole: Path
) -> None:
    path = ended / "last_state.pt"
    torch.save(torch.load(path) | {"device": "cuda"}, path)

    *_, result = polar.complete(ended)

    assert result == result_in(whole)


def _remove_state(folder: Path) -> None:
    (folder / "last_state.pt").unlink()


def _damage_state(folder: Path) -> None:
    path = folder / "last_state.pt"
    path.write_bytes(path.read_bytes()[:-1000])


def _age_state(folder: Path) -> None:
    path = folder / "last_state.pt"
    torch.save(torch.load(path) | {"science_version": 1}, path)


def _swap_weights(folder: Path) -> None:
    path = folder / "last_state.pt"
    torch.save(torch.load(path) | {"model": {}}, path)


def _forget_evaluation(folder: Path) -> None:
    path = folder / "last_state.pt"
    content = torch.load(path)
    torch.save(content | {"evaluations": content["evaluations"][:-1]}, path)


def _remove_result(folder: Path) -> None:
    (folder / "result.json").unlink()


def _replace_result(folder: Path, content: str) -> None:
    (folder / "result.json").write_text(content)


def _put_a_folder_in_place_of_the_result(folder: Path) -> None:
    _remove_result(folder)
    (folder / "result.json").mkdir()


def _put_a_file_in_place_of_the_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def _change_digest(folder: Path) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"dataset_digest": "1234"}))


def _say(folder: Path, **said: object) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | said))


TIMINGS: tuple[object, ...] = ("fast", {"seconds": []}, {"seconds": math.nan})
NO_RESULT = "result.json is not a result of this version"


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (_remove_state, CheckpointUnusable, r"last_state.pt is damaged: .*No such file"),
        (_damage_state, CheckpointUnusable, "last_state.pt is damaged"),
        (_age_state, CheckpointUnusable, r"has science_version 1; this run has \d"),
        (_swap_weights, CheckpointUnusable, "the weights are not those of this model"),
        (_forget_evaluation, CheckpointUnusable, "last_state.pt is not the end of this run"),
        (_remove_result, InvalidInput, "has no result.json; allowed: the folder of a run"),
        *(
            (partial(_replace_result, content=content), InvalidInput, NO_RESULT)
            for content in ("", "[]", "3", "null", '"text"', "{}", '{"spec": {}, "timing": {}}')
        ),
        *(
            (partial(_replace_result, content=content), InvalidInput, NO_RESULT)
            for content in ("[" * 200_000, '{"a":' * 200_000)
        ),
        *((partial(_say, timing=timing), InvalidInput, NO_RESULT) for timing in TIMINGS),
        *(
            (partial(_say, **said), CheckpointUnusable, "is not the end of this run")
            for said in ({"seed": 777}, {"spec_hash": "0" * 64}, {"steps": 99}, {"settled": None})
        ),
        (_put_a_folder_in_place_of_the_result, InvalidInput, "result.json cannot be read"),
        (_put_a_file_in_place_of_the_folder, InvalidInput, "has no result.json; allowed"),
        (_change_digest, DatasetError, r"digits has digest [0-9a-f]{64}; expected 1234"),
    ],
)
def test_a_folder_that_lacks_something_says_what(
    ended: Path, spoil: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    spoil(ended)

    with pytest.raises(error, match=message):
        next(polar.complete(ended))


def test_a_run_whose_dataset_is_gone_says_so(ended: Path, tmp_path: Path) -> None:
    path = ended / "result.json"
    content = json.loads(path.read_bytes())
    content["spec"]["dataset"] = {"name": "mnist", "images": 120}
    path.write_text(json.dumps(content))

    with pytest.raises(DatasetMissing, match="train-images-idx3-ubyte"):
        next(polar.complete(ended, data_dir=tmp_path))


def test_a_training_loads_nothing_that_only_its_findings_need(tmp_path: Path) -> None:
    # pyarrow writes the table of the verdict.
    program = """
import sys
from pathlib import Path
import polar
folder, spec = sys.argv[1:]
asked = polar.ExperimentSpec.model_validate_json(spec)
list(polar.run(asked, out=Path(folder), with_findings=False))
watched = ("matplotlib", "pandas", "pyarrow", "scipy.stats", "sklearn", "sympy", "torch._dynamo")
print(*(name for name in watched if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), SPEC.model_dump_json()],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["pyarrow"]
    assert names(tmp_path) == AT_ONCE
