import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from polar.errors import CheckpointUnusable
from polar.spec import ExperimentSpec
from polar.spec.course import course
from polar.training import checkpoint
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.state import TrainingState, fresh
from polar.training.subset import evaluation_subset

CPU = torch.device("cpu")


def spec(**model: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 20},
            "model": {"latent_dim": 2, "widths": [2, 2, 2, 2, 2], **model},
            "training": {"steps": 3, "batch_size": 10, "held_out": 0},
        }
    )


def new_state(digest: str = "digest", **model: object) -> TrainingState:
    return fresh(spec(**model), digest, CPU)


@pytest.fixture
def trained() -> TrainingState:
    """A state after three steps."""
    state = new_state()
    images = (torch.arange(20 * 1024) % 256).to(torch.uint8).view(20, 1, 32, 32)
    data = Inputs(images, torch.empty(20, 0).byte())
    list(train(state, data, evaluation_subset(data, spec())))
    return state


@pytest.fixture
def saved(trained: TrainingState, tmp_path: Path) -> Path:
    return checkpoint.save(trained, tmp_path)


def flat(tree: Any) -> list[Any]:  # noqa: ANN401
    """The leaves of nested dicts and lists."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in flat(value)]
    if isinstance(tree, list | tuple):
        return [leaf for value in tree for leaf in flat(value)]
    return [tree]


def test_a_restored_state_is_equal_to_the_last_bit(trained: TrainingState, saved: Path) -> None:
    state = new_state()

    checkpoint.restore(state, saved)

    assert (state.step, state.evaluations) == (3, trained.evaluations)
    assert torch.equal(state.noise.get_state(), trained.noise.get_state())
    for ours, theirs in zip(
        flat([state.model.state_dict(), state.optimiser.state_dict()]),
        flat([trained.model.state_dict(), trained.optimiser.state_dict()]),
        strict=True,
    ):
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def test_the_file_names_its_step(saved: Path) -> None:
    assert saved.name == "step-00000003.pt"


def test_the_newest_two_are_kept_and_nothing_else_is_left(
    trained: TrainingState, tmp_path: Path
) -> None:
    for step in (3, 100, 20_000):
        trained.step = step
        checkpoint.save(trained, tmp_path)

    assert sorted(os.listdir(tmp_path)) == ["step-00000100.pt", "step-00020000.pt"]


def test_checkpoints_of_a_run_that_was_given_up_do_not_stand_in_the_way(
    trained: TrainingState, tmp_path: Path
) -> None:
    for step in (300, 400, 100):
        trained.step = step
        checkpoint.save(trained, tmp_path)

    assert os.listdir(tmp_path) == ["step-00000100.pt"]


def test_a_save_that_fails_leaves_the_last_checkpoint_and_no_scraps(
    trained: TrainingState, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_content: object, file: Any) -> None:  # noqa: ANN401
        file.write(b"half a checkp")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    trained.step = 4
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(trained, saved.parent)

    assert os.listdir(saved.parent) == [saved.name]
    checkpoint.restore(new_state(), saved)


def test_a_folder_stands_for_its_newest_checkpoint(trained: TrainingState, tmp_path: Path) -> None:
    for trained.step in (2, 3):
        checkpoint.save(trained, tmp_path)
    state = new_state()

    checkpoint.restore(state, tmp_path)

    assert state.step == 3


def test_a_folder_with_a_damaged_newest_stands_for_the_one_before(
    trained: TrainingState, saved: Path
) -> None:
    trained.step = 4
    newest = checkpoint.save(trained, saved.parent)
    newest.write_bytes(newest.read_bytes()[:-1000])
    state = new_state()

    checkpoint.restore(state, saved.parent)

    assert state.step == 3


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_checkpoints_is_a_fresh_start(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    state = new_state()

    checkpoint.restore(state, tmp_path / folder)

    assert state.step == 0


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnusable, match=r"other\.pt is damaged: .*No such file"):
        checkpoint.restore(new_state(), tmp_path / "other.pt")


@pytest.mark.parametrize("kept_bytes", [0, 1, 100, 5000, -1])
def test_a_truncated_file_is_refused(kept_bytes: int, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:kept_bytes])

    with pytest.raises(CheckpointUnusable, match="is damaged"):
        checkpoint.restore(new_state(), saved)


def test_a_single_wrong_bit_in_the_weights_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        weights = next(info for info in archive.infolist() if "/data/" in info.filename)
    # The name and the padding of a member follow its header of 30 bytes.
    names = int.from_bytes(content[weights.header_offset + 26 :][:2], "little")
    padding = int.from_bytes(content[weights.header_offset + 28 :][:2], "little")
    content[weights.header_offset + 30 + names + padding] ^= 1
    saved.write_bytes(content)

    with pytest.raises(CheckpointUnusable, match=r"is damaged: wrong check sum of .*/data/"):
        checkpoint.restore(new_state(), saved)


def test_another_course_is_refused_with_both_hashes(saved: Path) -> None:
    theirs, ours = course(spec()), course(spec(beta=2.0))

    with pytest.raises(CheckpointUnusable, match=f"course {theirs}; this run has {ours}"):
        checkpoint.restore(new_state(beta=2.0), saved)


def test_another_dataset_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointUnusable, match="dataset_digest digest; this run has other"):
        checkpoint.restore(new_state(digest="other"), saved)


@pytest.mark.parametrize(
    ("key", "value"), [("format", 1), ("format", None), ("science_version", 0), ("device", "cuda")]
)
def test_another_format_version_or_device_is_refused(key: str, value: object, saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, key: value}, saved)

    with pytest.raises(CheckpointUnusable, match=f"has {key} {value}; this run has"):
        checkpoint.restore(new_state(), saved)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {}, {"weights": torch.zeros(3)}])
def test_a_file_of_torch_that_is_no_checkpoint_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")

    with pytest.raises(
        CheckpointUnusable, match=r"other\.pt (is of another kind|has format None)"
    ):
        checkpoint.restore(new_state(), tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", {}),
        ("model", {"encoder.0.weight": torch.zeros(3)}),
        ("optimiser", {"state": {}}),
        ("noise", torch.zeros(3, dtype=torch.uint8)),
        ("noise", 3),
        ("evaluations", ["{}"]),
        ("evaluations", [3]),
    ],
)
def test_content_that_is_not_as_it_should_be_is_refused(
    key: str, value: object, saved: Path
) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, key: value}, saved)

    with pytest.raises(CheckpointUnusable, match="is not as it should be"):
        checkpoint.restore(new_state(), saved)


@pytest.mark.parametrize("step", [None, "3", 2.5, -1, 4])
def test_a_step_that_the_run_does_not_have_is_refused(step: object, saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "step": step}, saved)

    with pytest.raises(CheckpointUnusable, match=f"is at step {step}; this run ends at 3"):
        checkpoint.restore(new_state(), saved)


def test_a_state_without_the_evaluations_so_far_is_refused(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "evaluations": content["evaluations"][1:]}, saved)

    with pytest.raises(CheckpointUnusable, match="lacks the evaluation at step 1"):
        checkpoint.restore(new_state(), saved)


@pytest.mark.parametrize("key", ["model", "optimiser", "noise", "evaluations", "reported_step"])
def test_missing_content_is_refused(key: str, saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    del content[key]
    torch.save(content, saved)

    with pytest.raises(CheckpointUnusable, match=f"is not as it should be: '{key}'"):
        checkpoint.restore(new_state(), saved)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


def test_code_in_a_checkpoint_is_not_run(saved: Path, tmp_path: Path) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "model": Trap(tmp_path / "sprung")}, saved)

    with pytest.raises(CheckpointUnusable, match="holds more than plain data"):
        checkpoint.restore(new_state(), saved)
    assert not (tmp_path / "sprung").exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))

    with pytest.raises(CheckpointUnusable, match="is damaged"):
        checkpoint.restore(new_state(), tmp_path / "other.pt")
    assert not (tmp_path / "sprung").exists()
