"""`polar measure` on files as users have them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from polar.measurement.measure import measure
from polar.records.measurement import Measurement
from service.cli import app

RNG = np.random.default_rng(0)
MEAN = np.hstack([RNG.normal(size=(200, 2)), 0.01 * RNG.normal(size=(200, 2))])
VARIANCE = np.tile([0.02, 0.02, 0.98, 0.98], (200, 1))
LABELS = np.where(MEAN[:, 0] > 0, "right", "left")
USAGE = np.array([9.0, 8.0, 0.0, 0.01])


@pytest.fixture(autouse=True)
def in_a_folder_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("codes.npy", MEAN)
    np.savez("v.npz", variance=VARIANCE)
    np.save("y.npy", LABELS)
    np.save("u.npy", USAGE)


def polar_measure(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["measure", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_codes_alone_are_explained_with_a_row_for_each_latent() -> None:
    code, out, err = polar_measure("codes.npy")

    expected = measure(MEAN)
    explanation, _, head, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert explanation == expected.explanation
    assert head.split()[:2] == ["latent", "label"]
    assert [row.split()[:3] for row in rows] == [
        [name, latent.label, f"{latent.judged_entropy_nats:.3f}"]
        for name, latent in zip(expected.names, expected.latents, strict=True)
    ]


@pytest.mark.usefixtures("unrendered")
def test_paths_are_taken_as_they_stand() -> None:
    odd = "my 'codes' ?x#1%41é {a}[b]&;$:"
    Path("codes.npy").rename(f"{odd}.npy")

    code, _, err = polar_measure(f"{odd}.npy", "--out", odd)

    assert (code, err) == (0, "")
    assert {"measurement.json", "figures"} <= {path.name for path in Path(odd).iterdir()}


def test_every_file_and_option_reaches_the_measurement() -> None:
    np.save("pm.npy", 0.1 * MEAN)
    np.save("pv.npy", np.ones_like(MEAN))

    code, out, _ = polar_measure(
        *("codes.npy", "--variance", "v.npz", "--labels", "y.npy", "--usage", "u.npy"),
        *("--prior-mean", "pm.npy", "--prior-variance", "pv.npy"),
        *("--sigma", "0.4", "--renyi-alpha", "2", "--tau-std", "0.2", "-o", "json"),
    )

    assert code == 0
    assert Measurement.model_validate_json(out) == measure(
        MEAN,
        VARIANCE,
        labels=LABELS,
        usage=USAGE,
        prior_mean=0.1 * MEAN,
        prior_variance=np.ones_like(MEAN),
        sigma=0.4,
        renyi_alpha=2.0,
        tau_std=0.2,
    )


def test_the_folder_is_written_and_its_paths_are_said() -> None:
    code, out, _ = polar_measure(
        "codes.npy", "--usage", "u.npy", "--tau-std", "0.3", "--out", "out"
    )

    said = [Path(line.strip()) for line in out.splitlines() if line.startswith("  out/")]
    assert code == 0
    assert sorted(said) == sorted(path for path in Path("out").rglob("*") if path.is_file())
    assert Path("out/figures/usage_against_entropy.png") in said
    assert json.loads(Path("out/measurement.json").read_text())["verdict"]["tau_std"] == 0.3


@pytest.mark.usefixtures("unrendered")
def test_json_stays_json_when_files_are_written() -> None:
    _, out, err = polar_measure("codes.npy", "--out", "out", "-o", "json")

    assert json.loads(out)["images"] == 200
    assert "out/measurement.json" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.npy"], "there is no file missing.npy"),
        (["junk.npy"], "junk.npy is no file of NumPy"),
        (["objects.npy"], "objects.npy is not an array of numbers or text"),
        (["two.npz"], "two.npz holds 2 arrays (a, b); allowed: one"),
        (["u.npy"], "mean of shape (4,); allowed: (n, m)"),
        (["y.npy"], "mean of <U5; allowed: real numbers"),
        (["nan.npy"], "mean of latent 0 is not finite"),
        (["codes.npy", "--variance", "codes.npy"], "variance of latent"),
        (["codes.npy", "--variance", "gone.npy"], "there is no file gone.npy"),
        (["codes.npy", "--labels", "u.npy"], "labels of shape (4,); allowed: (200,)"),
        (["codes.npy", "--usage", "y.npy"], "usage of <U5; allowed: real numbers"),
        (["codes.npy", "--prior-mean", "codes.npy"], "half of a conditional prior"),
        (["codes.npy", "--tau-std", "nan"], "tau_std is nan; allowed: 0 to 1e+100"),
        (["codes.npy", "--tau-std", "-1"], "tau_std is -1.0; allowed: 0 to 1e+100"),
        (["codes.npy", "--sigma", "0"], "sigma"),
        (["codes.npy", "--renyi-alpha", "0"], "renyi_alpha is 0.0; allowed: above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_its_reason(
    arguments: list[str], message: str
) -> None:
    Path("junk.npy").write_text("0.1, 0.2")
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez("two.npz", a=MEAN, b=MEAN)
    np.save("nan.npy", np.full((5, 2), np.nan))

    code, out, err = polar_measure(*arguments, "--out", "out")

    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_written_fails() -> None:
    Path("file").write_text("in the way")

    code, _, err = polar_measure("codes.npy", "--out", "file/out")

    assert code == 1
    assert "file/out" in err


@pytest.mark.usefixtures("unrendered")
def test_what_takes_long_says_what_it_is_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli.measure.MANY_LATENTS", 10)
    np.save("many.npy", RNG.normal(size=(20, 11)))

    code, out, err = polar_measure("many.npy", "-o", "json", "--out", "out")

    said = [line for line in err.splitlines() if line.startswith("measuring: ")]
    assert code == 0
    assert said[0] == "measuring: entropies of 11 latents and 20 images"
    assert said[-1] == "measuring: tables and figures"
    assert Measurement.model_validate_json(out).images == 20  # stdout is the report alone


def test_a_refusal_after_progress_is_the_last_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.cli.measure.MANY_LATENTS", 10)
    np.save("many.npy", RNG.normal(size=(20, 11)))

    code, _, err = polar_measure("many.npy", "--renyi-alpha", "0.1")

    assert code == 2
    # the API takes what follows `error: ` at the beginning of a line for the reason
    assert re.search(
        r"^measuring: .*\nerror: tol is .* the entropy of column", err, re.MULTILINE | re.DOTALL
    )
    assert err.splitlines()[-1].startswith("error: ")


def test_the_scaled_ruler_does_not_see_the_scale_of_codes() -> None:
    np.save("scaled.npy", 1000 * MEAN)

    labels = {
        (name, ruler): [line.split()[1] for line in out.splitlines() if line[:1].isdigit()]
        for name in ("codes.npy", "scaled.npy")
        for ruler in ("scaled", "absolute")
        for _, out, _ in [polar_measure(name, "--ruler", ruler)]
    }

    assert labels["codes.npy", "scaled"] == ["active"] * 2 + ["passive"] * 2
    assert labels["scaled.npy", "scaled"] == labels["codes.npy", "scaled"]
    assert labels["scaled.npy", "absolute"] == ["active"] * 4


def test_remarks_are_shown_with_the_explanation() -> None:
    np.save("wide.npy", 1e9 * MEAN[:, :2])

    _, out, _ = polar_measure("wide.npy", "--ruler", "absolute")

    assert "a sigma of about 5e+08 would suit" in out


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            MEAN[:2],
            "mean of shape (2, 4), of which 2 is the number of images; allowed: at least 5",
        ),
        (
            np.where(np.eye(200, 4, dtype=bool), 1e38, MEAN),
            "mean in units of the ruler of latent 0 is beyond 1e+15",
        ),
        (MEAN.astype(complex), "mean of complex128; allowed: real numbers"),
        (np.zeros((5, 20_000)), "allowed: up to 10,000 latents"),
    ],
)
def test_codes_out_of_range_are_refused_in_one_line(array: np.ndarray, message: str) -> None:
    np.save("hostile.npy", array)

    code, out, err = polar_measure("hostile.npy", "--ruler", "absolute")

    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
