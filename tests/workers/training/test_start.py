"""An agent starts, or says why it cannot; and it leaves when it is told to."""

import gzip
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polar.data import catalogue
from polar.errors import DatasetError
from workers.training import offer

if TYPE_CHECKING:
    from tests.processes import Stage


async def test_an_agent_says_what_it_has(stage: "Stage") -> None:
    agent = stage.start_agent()

    offered = await stage.announcement()

    assert (offered.pid, offered.device, offered.queues) == (agent.pid, "cpu", "auto,cpu")
    assert "digits" in offered.datasets


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_agent_leaves_when_told(number: signal.Signals, stage: "Stage") -> None:
    agent = stage.start_agent()
    await stage.announcement()

    agent.send_signal(number)

    assert agent.wait(20) == 0, stage.log_of(agent)


async def test_an_artifact_folder_that_cannot_be_written_is_refused_by_name(
    stage: "Stage",
) -> None:
    (stage.folder / "a file").write_text("")
    artifacts = stage.folder / "a file" / "artifacts"
    stage.settings = stage.settings.model_copy(update={"artifacts": artifacts})

    agent = stage.start_agent()

    assert agent.wait(20) == 1
    assert f"cannot write to the artifact folder {artifacts}: Not a dir" in stage.log_of(agent)
    assert "Traceback" not in stage.log_of(agent)


def test_missing_settings_are_all_named() -> None:
    agent = subprocess.run(
        [sys.executable, "-m", "workers"], env={}, capture_output=True, text=True, timeout=60
    )

    assert agent.returncode == 1
    for name in ("POLAR_DATABASE_URL", "POLAR_ARTIFACTS", "POLAR_MLFLOW_URL"):
        assert f"{name} is not set" in agent.stderr


def test_a_lease_that_cannot_be_renewed_in_time_is_refused(tmp_path: Path) -> None:
    environment = {
        "POLAR_DATABASE_URL": "postgresql://secret",
        "POLAR_ARTIFACTS": str(tmp_path),
        "POLAR_MLFLOW_URL": "",
        "POLAR_LEASE_S": "10",
    }

    agent = subprocess.run(
        [sys.executable, "-m", "workers"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert agent.returncode == 1
    assert "POLAR_LEASE_S is 10.0" in agent.stderr
    assert "a POLAR_LEASE_S of at least 20.0" in agent.stderr
    assert "secret" not in agent.stderr


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cpu:0"])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    agent = subprocess.run(
        [sys.executable, "-m", "workers", "--device", device],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert agent.returncode == 2
    assert f"{device!r}; allowed: auto, cpu, cuda, cuda:N" in agent.stderr


def test_an_agent_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "scipy", "pandas", "mlflow", "sklearn", "matplotlib"}
    program = f"import sys, workers.__main__; print({heavy} & set(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert loaded.stdout == "set()\n"


@pytest.mark.parametrize(
    ("device", "queues"),
    [("cpu", ["auto", "cpu"]), ("cuda", ["auto", "cuda"]), ("cuda:1", ["auto", "cuda"])],
)
def test_an_agent_serves_the_queues_of_its_device(device: str, queues: list[str]) -> None:
    assert offer.queues_for(device) == queues


def test_auto_is_cuda_where_the_driver_lists_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offer, "GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert offer.queues_for("auto") == ["auto", "cpu"]
    (tmp_path / "0000:01:00.0").mkdir()
    assert offer.queues_for("auto") == ["auto", "cuda"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert offer.queues_for("auto") == ["auto", "cpu"]


def test_a_dataset_is_hashed_again_only_when_its_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    hashed: list[dict[str, str]] = []

    def available() -> dict[str, str]:
        hashed.append(original())
        return hashed[-1]

    original = catalogue.available
    monkeypatch.setattr(catalogue, "available", available)

    assert "mnist" not in offer.available_datasets()
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (raw / name).write_bytes(b"some bytes")
    first = offer.available_datasets()
    assert offer.available_datasets() == first
    (raw / "train-labels-idx1-ubyte").write_bytes(b"other bytes")
    second = offer.available_datasets()

    assert first["digits"] == second["digits"]
    assert first["mnist"] != second["mnist"]
    assert len(hashed) == 3


def test_the_sprites_are_offered_though_they_have_no_files() -> None:
    offered = offer.available_datasets()

    assert offered["sprites"] == catalogue.digest("sprites")


def test_packed_files_are_unpacked_for_their_digest_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_DATA_DIR", str(tmp_path))
    (tmp_path / "smallnorb").mkdir()
    for path in catalogue.files("smallnorb", tmp_path):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.name.encode()))
    first = offer.available_datasets()
    monkeypatch.setattr(gzip, "open", lambda path: pytest.fail(f"{path} was unpacked again"))

    second = offer.available_datasets()

    assert "smallnorb" in first
    assert first == second


def test_looking_for_datasets_loads_nothing_heavy() -> None:
    program = (
        "import sys; from workers.training import offer; offer.available_datasets(); "
        "print({'torch', 'numpy', 'sklearn', 'pandas'} & set(sys.modules))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert loaded.stdout == "set()\n"


def test_a_folder_that_is_not_ours_keeps_no_agent_from_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It ended the agent, which was started again for ever.
    def refuse() -> Path:
        raise DatasetError("the cache is not ours")

    monkeypatch.delenv("POLAR_DATA_DIR", raising=False)
    monkeypatch.setattr(catalogue, "cache_dir", refuse)

    assert offer.available_datasets().keys() == {"digits", "sprites"}
