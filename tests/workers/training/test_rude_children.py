"""Children that are not ours: what they write is judged, and they are ended."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor

HERE = Path(__file__).parent


async def test_a_child_that_breaks_the_rules_fails_its_run_and_no_other(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"max_attempts": 1})
    stage.environment["CHILD"] = json.dumps([sys.executable, str(HERE / "rude_child.py")])
    reasons = {
        "nonsense": "is not an event of this run: .*nonsense",
        "no text": "is not an event of this run",
        "half an event": "is not an event of this run: .*Field required",
        "a file elsewhere": "is not an event of this run: '/etc/passwd' is not in",
        "an endless line": "is not an event of this run: .*limit",
        "silence": "killed by SIGKILL",
        "half a line": "exited with code 0, without a result",
        "nothing at all": "exited with code 0, without a result",
        "an error of its own": "exited with code 1, .*SystemError: it cannot even start",
    }
    ids = {fate: await stage.submit(spec_of(fate)) for fate in reasons}

    agent = stage.start_agent()

    for fate, reason in reasons.items():
        run = await stage.end_of(ids[fate])
        assert run.state is RunState.FAILED
        assert re.search(reason, run.status_message or "", re.DOTALL), run.status_message
    for child in re.findall(r"started child (\d+)", stage.log_of(agent)):
        assert stage.is_gone(int(child))
    assert agent.poll() is None


async def test_a_child_that_cannot_be_started_counts_as_a_fault_of_the_machine(
    stage: "Stage", spec_of: "SpecFor"
) -> None:
    stage.settings = stage.settings.model_copy(update={"max_attempts": 1})
    stage.environment["CHILD"] = json.dumps(["/nowhere/python"])
    run_id = await stage.submit(spec_of())
    stage.start_agent()

    run = await stage.run(run_id, lambda run: run.status_reason is not None)

    assert (run.state, run.losses) == (RunState.QUEUED, 0)
    assert run.status_reason == "machine_fault"
    assert "No such file or directory: '/nowhere/python'" in (run.status_message or "")
