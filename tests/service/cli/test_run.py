import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polar.data import download
from polar.errors import DatasetMissing
from polar.models import networks
from polar.training import allocator
from service.cli import app

SPEC = """
dataset: {name: digits, images: 60}
model: {beta: BETA, latent_dim: 3, widths: [4, 4, 4, 4, 4]}
training: {steps: STEPS, batch_size: 20, checkpoint_every: 5}
diagnostics: {images: 50}
seeds: SEEDS
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POLAR_DATA_DIR", raising=False)
    # The allocator of the process that runs the tests is left alone.
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: True)


def write_spec(*, beta: str = "1.0", steps: int = 10, seeds: str = "[0]") -> str:
    text = SPEC.replace("BETA", beta).replace("STEPS", str(steps)).replace("SEEDS", seeds)
    Path("spec.yaml").write_text(text)
    return "spec.yaml"


def polar_run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["run", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_one_seed_goes_into_the_folder_itself() -> None:
    code, out, _ = polar_run(write_spec(), "--out", "results")

    assert code == 0
    result = json.loads(Path("results/result.json").read_text())
    assert out.splitlines() == [
        f"seed 0: {result['explanation']}",
        "  results/result.json",
        "  results/diagnostics.parquet",
        "  results/figures",
    ]
    assert Path("results/figures/sorted_entropies.png").exists()


@pytest.mark.usefixtures("unrendered")
def test_a_path_is_taken_as_it_stands() -> None:
    odd = "my 'spec' ?x#1%41é {a}[b]&;$:/"
    Path(odd).mkdir()
    spec = Path(write_spec()).rename(f"{odd}/spec ?#%.yaml")

    code, _, error = polar_run(str(spec), "--out", f"{odd}/out")

    assert code == 0, error
    assert sorted(os.listdir(odd)) == ["out", "spec ?#%.yaml"]
    assert {"result.json", "diagnostics.parquet", "figures"} <= set(os.listdir(f"{odd}/out"))


@pytest.mark.usefixtures("unrendered")
def test_several_seeds_go_into_folders_of_their_own() -> None:
    code, out, _ = polar_run(write_spec(seeds="[3, 5]"), "--out", "results")

    assert code == 0
    for seed in (3, 5):
        result = json.loads(Path(f"results/seed-{seed}/result.json").read_text())
        assert result["seed"] == seed
        assert f"seed {seed}: {result['explanation']}" in out


@pytest.mark.usefixtures("unrendered")
def test_one_of_several_seeds_can_be_chosen() -> None:
    code, _, _ = polar_run(write_spec(seeds="[3, 5]"), "--out", "results", "--seed", "5")

    assert code == 0
    assert os.listdir("results") == ["seed-5"]


@pytest.mark.usefixtures("unrendered")
def test_a_finished_run_is_shown_and_not_repeated() -> None:
    polar_run(write_spec(), "--out", "results")
    before = Path("results/result.json").stat().st_mtime_ns

    code, out, errors = polar_run("spec.yaml", "--out", "results")

    assert code == 0
    assert "results is finished; --no-resume runs it again" in errors
    assert out.startswith("seed 0: ")
    assert Path("results/result.json").stat().st_mtime_ns == before


@pytest.mark.usefixtures("unrendered")
def test_without_resuming_it_is_repeated_with_the_same_numbers() -> None:
    polar_run(write_spec(), "--out", "results")
    path = Path("results/result.json")
    first, before = json.loads(path.read_text()), path.stat().st_mtime_ns

    code, _, _ = polar_run("spec.yaml", "--out", "results", "--no-resume")

    second = json.loads(path.read_text())
    assert code == 0
    assert path.stat().st_mtime_ns > before
    assert first["timing"]["steps"] == second["timing"]["steps"] == 10
    assert first.pop("timing") != second.pop("timing")
    assert first == second


@pytest.mark.usefixtures("unrendered")
def test_a_folder_with_the_result_of_another_spec_is_refused() -> None:
    polar_run(write_spec(), "--out", "results")
    before = Path("results/result.json").read_bytes()

    code, _, errors = polar_run(write_spec(beta="2.0"), "--out", "results")

    assert code == 2
    assert "error: results holds the result of another spec" in errors
    assert "allowed: another folder, with --out" in errors
    assert Path("results/result.json").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "3", '"text"', "{", '{"spec_hash": 1}', "\0", "[" * 200_000, None],
    ids=lambda content: repr(content)[:20],
)
def test_a_folder_with_some_other_result_json_is_refused(content: str | None) -> None:
    path = Path("results/result.json")
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_text(content)

    code, _, errors = polar_run(write_spec(), "--out", "results")

    assert code == 2
    refusal = "results/result.json is not a result of Polar; allowed: another folder, with --out"
    assert errors == f"error: {refusal}\n"


@pytest.mark.usefixtures("unrendered")
def test_checkpoints_of_another_spec_are_refused_with_a_way_out() -> None:
    polar_run(write_spec(), "--out", "results")
    Path("results/result.json").unlink()

    refused, _, errors = polar_run(write_spec(beta="2.0"), "--out", "results")
    afresh, _, _ = polar_run("spec.yaml", "--out", "results", "--no-resume")

    assert refused == 1
    assert "has course" in errors
    assert "--no-resume starts afresh" in errors
    assert afresh == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.yaml"], 2, "cannot read the spec file none.yaml"),
        (["bad.yaml"], 2, "/model/beta: "),
        (["spec.yaml", "--device", "tpu"], 2, "device is 'tpu'; allowed: auto, cpu, cuda, cuda:N"),
        (["spec.yaml", "--seed", "-1"], 2, "seed is -1; allowed: 0 to 4294967295"),
        (["spec.yaml", "--threads", "0"], 2, "--threads"),
        (["mnist.yaml"], 1, "`polar data fetch mnist` downloads it, and POLAR_DATA_DIR"),
        (["mnist.yaml", "--data-dir", "no"], 1, "no file no/MNIST/raw/train-images-idx3-ubyte"),
    ],
)
def test_what_cannot_be_run_ends_with_one_clear_line(
    arguments: list[str], code: int, message: str
) -> None:
    write_spec()
    Path("bad.yaml").write_text("dataset: {name: digits}\nmodel: {beta: -1}\n")
    Path("mnist.yaml").write_text("dataset: {name: mnist}\nmodel: {}\n")

    got, out, errors = polar_run(*arguments, "--out", "results")

    assert (got, out) == (code, "")
    assert message in errors
    assert "Traceback" not in errors
    assert not Path("results").exists()


def test_a_run_that_diverges_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "HEAD_STD", math.inf)

    code, _, errors = polar_run(write_spec(), "--out", "results")

    assert code == 1
    assert "error: the loss was not finite at step 1" in errors


def test_a_download_that_fails_ends_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, data_dir: Path, _progress: download.OnBytes) -> None:
        raise DatasetMissing(f"dataset {name}: no network for {data_dir}")

    monkeypatch.setattr(download, "fetch", fail)
    Path("mnist.yaml").write_text("dataset: {name: mnist}\nmodel: {}\n")

    code, _, errors = polar_run("mnist.yaml", "--out", "o", "--download", "--data-dir", "data")

    assert code == 1
    assert errors == "error: dataset mnist: no network for data\n"


@pytest.mark.usefixtures("unrendered")
def test_what_needs_no_download_needs_no_folder_for_it() -> None:
    code, _, _ = polar_run(write_spec(), "--out", "o", "--download")

    assert code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_from_which_the_same_command_goes_on(
    number: signal.Signals,
) -> None:
    command = [sys.executable, "-m", "service.cli", "run", write_spec(steps=3000), "--out", "o"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(Path("o").glob("checkpoints/*.pt")):
        assert time.monotonic() < deadline, "no checkpoint was written"
        assert running.poll() is None
        time.sleep(0.05)

    running.send_signal(number)
    _, errors = running.communicate(timeout=60)

    assert running.returncode == 128 + number
    (newest, *_) = sorted(Path("o/checkpoints").iterdir(), reverse=True)
    step = int(newest.stem.removeprefix("step-"))
    assert f"stopped at step {step:,} of 3,000; the same command goes on from {newest}" in errors
