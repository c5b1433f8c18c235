"""A process that only pretends to make findings: the file `fate` in the folder says what it does.

Once it knows its fate, it writes its nice value and its process into the folder.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from polar.records.events import ArtifactSaved
from workers.training.messages import Failure

RESULT = os.environ["MADE_UP_RESULT"]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


for line in sys.stdin:
    folder = Path(line.rstrip("\n"))
    fate = (folder / "fate").read_text()
    (folder / "maker").write_text(f"{sys.argv[1]} {os.getpid()}")
    say(ArtifactSaved(name="a.png", path=str(folder / "a.png")).model_dump_json())
    match fate:
        case "made":
            say(RESULT)
        case "of another run":
            say(json.dumps(json.loads(RESULT) | {"seed": 777}))
        case "refused":
            error = Failure(error="dataset_missing", message="digits is not here")
            say(error.model_dump_json())
        case "disk full":
            error = Failure(error="machine_fault", message="No space left on device")
            say(error.model_dump_json())
        case "nonsense":
            say("nonsense")
        case "a file elsewhere":
            say(ArtifactSaved(name="b", path="/etc/passwd").model_dump_json())
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs":
            time.sleep(600)
