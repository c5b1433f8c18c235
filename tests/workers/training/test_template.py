"""The template of an agent's children: what they find when they begin, and what ends them."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import polar
from polar.records.events import Progress
from polar.spec import ExperimentSpec
from service.exit_codes import CHILD_FAILED
from workers.training import process
from workers.training.messages import Failure, Request, from_line
from workers.training.process import Child, Template

if TYPE_CHECKING:
    pass

#: Its children say what they see, and wait for the end of their stdin.
PROGRAM = """
import json, os, sys
from workers.training.template import serve
def work():
    print("a remark", file=sys.stderr)
    print(json.dumps({
        "parent": os.getppid(), "session": os.getsid(0), "environment": dict(os.environ),
        "descriptors": os.listdir("/proc/self/fd"),
    }), flush=True)
    sys.stdin.read()
    return 7
"""
SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 128},
        "model": {"latent_dim": 2, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 2, "batch_size": 16},
        "diagnostics": {"images": 64},
    }
)
#: Its children train, and say what they had to import for it.
TRAINING = f"""
import json, os, sys
from importlib import import_module
from workers.training.template import NEEDED, serve
for name in NEEDED:
    import_module(name)
import polar, torch
from polar.records.events import Progress
from polar.spec import ExperimentSpec
spec = ExperimentSpec.model_validate_json({SPEC.model_dump_json()!r})
has_cuda = torch.cuda.is_initialized()
def work():
    before, run = set(sys.modules), polar.run(spec, device="cpu")
    loss = next(event.loss for event in run if isinstance(event, Progress))
    print(json.dumps({{"loss": loss, "new": sorted(set(sys.modules) - before), "cuda": has_cuda}}))
    return 0
serve(work)
"""


#: Its child fails, and says with which priority.
FAILING = """
import os
from pathlib import Path
import polar
from workers.training import template
def run(*_, **__):
    autogroup = Path("/proc/self/autogroup")
    session = autogroup.read_text().split()[-1] if autogroup.exists() else os.nice(0)
    raise RuntimeError(f"process {os.nice(0)}, session {session}")
polar.run = run
template.NEEDED = ()
template.main()
"""


@pytest.fixture
def begin(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Template]]:
    """Makes templates from programs, and ends them."""
    caplog.set_level("INFO")
    begun: list[Template] = []

    def make(program: str = f"{PROGRAM}\nserve(work)") -> Template:
        begun.append(Template([sys.executable, "-W", "error", "-c", program]))
        return begun[-1]

    yield make
    for template in begun:
        template.end()


@pytest.fixture
def started(caplog: pytest.LogCaptureFixture) -> Callable[[], list[int]]:
    """The processes of all templates so far."""
    return lambda: [int(pid) for pid in re.findall(r"started template (\d+)", caplog.text)]


@pytest.fixture
async def start(
    begin: Callable[..., Template], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Child]]]:
    """Starts children, and ends them."""
    children: list[Child] = []

    async def make(template: Template | None = None) -> Child:
        log = tmp_path / f"{len(children)}.txt"
        children.append(await Child.start(template or begin(), log))
        return children[-1]

    yield make
    for child in children:
        child.kill()
        await child.exit_code()


async def said_by(child: Child) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(await anext(child.lines()))
    return said


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_child_is_isolated_as_if_it_had_been_started_alone(
    start: Callable[..., Awaitable[Child]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    child = await start()

    said = await said_by(child)
    assert said["parent"] == os.getpid()
    assert said["session"] == os.getpgid(child.pid) == child.pid
    assert sorted(said["descriptors"])[:3] == ["0", "1", "2"]
    assert len(said["descriptors"]) == 4  # the fourth is that of the folder itself
    assert "POLAR_DATABASE_URL" not in said["environment"]
    assert said["environment"]["OMP_NUM_THREADS"] == "1"
    child.kill()
    assert await child.exit_code() == -signal.SIGKILL
    assert (tmp_path / "0.txt").read_text() == "a remark\n"


async def test_a_child_that_has_lost_its_agent_s_pipe_ends_with_its_own_code(
    start: Callable[..., Awaitable[Child]],
) -> None:
    child = await start()
    await said_by(child)

    child._stdin.close()

    assert await child.exit_code() == 7
    assert child.has_exited


async def test_children_come_from_one_template_that_may_die_at_any_time(
    begin: Callable[..., Template],
    start: Callable[..., Awaitable[Child]],
    started: Callable[[], list[int]],
) -> None:
    template = begin()
    first, second = await start(template), await start(template)
    (pid,) = started()

    os.kill(pid, signal.SIGKILL)
    third = await start(template)

    assert len(started()) == 2
    for child in (first, second, third):
        assert (await said_by(child))["parent"] == os.getpid()
        assert not child.has_exited


async def test_a_template_that_does_not_answer_is_replaced(
    begin: Callable[..., Template],
    start: Callable[..., Awaitable[Child]],
    started: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = begin()
    await template.warm_up()
    os.kill(started()[0], signal.SIGSTOP)
    monkeypatch.setattr(process, "ANSWER_S", 2)

    child = await start(template)

    assert (await said_by(child))["parent"] == os.getpid()
    assert len(started()) == 2
    assert not exists(started()[0])


async def test_a_template_is_replaced_when_its_code_has_changed(
    begin: Callable[..., Template],
    start: Callable[..., Awaitable[Child]],
    started: Callable[[], list[int]],
    tmp_path: Path,
) -> None:
    (tmp_path / "model.py").write_text("WIDTH = 1")
    paths = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.dont_write_bytecode = True"
    says = "def work(): print(model.WIDTH, flush=True); return 0"
    template = begin(f"{paths}; import model\n{PROGRAM}\n{says}\nserve(work)")
    widths = []

    for width in (1, 1, 22):
        if width != 1:
            (tmp_path / "model.py").write_text(f"WIDTH = {width}")
        await template.warm_up()
        child = await start(template)
        widths.append(int(await anext(child.lines())))

    assert widths == [1, 1, 22]
    assert len(started()) == 2


async def test_a_template_without_work_ends_and_its_children_go_on(
    begin: Callable[..., Template],
    start: Callable[..., Awaitable[Child]],
    started: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = begin()
    child = await start(template)
    monkeypatch.setattr(process, "IDLE_S", 0)

    template.rest()
    await asyncio.sleep(0.01)

    assert not exists(started()[0])
    assert (await said_by(child))["parent"] == os.getpid()


async def test_a_template_that_is_needed_again_does_not_end(
    begin: Callable[..., Template],
    started: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "IDLE_S", 0.2)
    template = begin()
    await template.warm_up()

    template.rest()
    await template.warm_up()
    await asyncio.sleep(0.4)
    await template.warm_up()

    assert len(started()) == 1


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "raise ImportError('half an installation')",
            "ended with code 1 before it was ready; .*ImportError: half an installation",
        ),
        (
            f"{PROGRAM}\nimport threading\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\nserve(work)",
            "ended with code .* before it had forked a child; .*has 2 threads; allowed: 1",
        ),
        ("import time; time.sleep(600)", "did not answer within 0.5 s before it was ready$"),
    ],
)
async def test_a_template_that_cannot_fork_is_an_error_of_the_machine_that_says_why(
    program: str,
    message: str,
    begin: Callable[..., Template],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "START_S", 0.5 if "sleep" in program else process.START_S)
    template = begin(program)
    await template.warm_up()

    with pytest.raises(OSError, match=f"(?s){message}"):
        await Child.start(template, tmp_path / "log.txt")


async def test_what_a_template_wrote_is_in_the_log_of_its_agent(
    begin: Callable[..., Template], caplog: pytest.LogCaptureFixture
) -> None:
    template = begin(f"import sys; print('a warning', file=sys.stderr)\n{PROGRAM}\nserve(work)")
    await template.warm_up()

    template.end()

    assert "the template wrote: a warning" in caplog.text


async def test_a_child_whose_output_cannot_be_flushed_ends_with_its_own_code(
    begin: Callable[..., Template], start: Callable[..., Awaitable[Child]]
) -> None:
    work = "def work(): sys.stdout.close(); return 7"
    child = await start(begin(f"{PROGRAM}\n{work}\nserve(work)"))

    assert await child.exit_code() == 7


@pytest.mark.parametrize("pipes", [1, 2])
async def test_a_child_that_cannot_be_started_leaves_no_pipe_open(
    pipes: int, begin: Callable[..., Template], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, pipe = iter(range(pipes)), os.pipe

    def few() -> tuple[int, int]:
        if next(made, None) is None:
            raise OSError("too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", few)
    before = set(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError, match=r"too many open files|No such file"):
        await Child.start(begin(), tmp_path / "no such folder" / "log.txt")

    assert set(os.listdir("/proc/self/fd")) == before


async def test_a_child_imports_nothing_before_its_first_step_and_computes_as_any_process(
    begin: Callable[..., Template], start: Callable[..., Awaitable[Child]]
) -> None:
    template = begin(TRAINING)
    (alone,) = [event.loss for event in polar.run(SPEC) if isinstance(event, Progress)][:1]

    for _ in range(2):
        child = await start(template)
        said = await said_by(child)

        assert await child.exit_code() == 0
        assert said == {"loss": alone, "new": [], "cuda": False}


async def test_a_child_is_as_nice_as_its_agent_wants_and_logs_in_the_form_of_the_environment(
    begin: Callable[..., Template],
    start: Callable[..., Awaitable[Child]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("POLAR_LOG_FORMAT", "json")
    request = Request(
        spec=SPEC,
        dataset_digest="",
        device="cpu",
        folder=tmp_path,
        resume_from=None,
        last_states=(),
        may_go_on_until=time.monotonic() + 60,
        niceness=7,
    )

    child = await start(begin(FAILING))
    child.say(request.model_dump_json())
    (failure,) = [from_line(line) async for line in child.lines()]

    assert isinstance(failure, Failure)
    seen = f"RuntimeError: process {os.nice(0) + 7}, session 7"
    assert failure.message.endswith(f"{seen}\n")
    assert await child.exit_code() == CHILD_FAILED
    (logged,) = map(json.loads, (tmp_path / "0.txt").read_text().splitlines())
    assert logged["message"] == "the training ends by an error"
    assert seen in logged["traceback"]
