"""A child that breaks the rules, in the way that the name of its spec says."""

import json
import os
import time

from workers.training.template import serve


def misbehave() -> int:
    with open(0, closefd=False) as agent:
        request = json.loads(agent.readline())
    match request["spec"]["name"]:
        case "nonsense":
            os.write(1, b"nonsense\n")
        case "no text":
            os.write(1, b"\xff\xfe\n")
        case "half an event":
            os.write(1, b'{"event": "started"}\n')
        case "a file elsewhere":
            os.write(1, b'{"event": "checkpoint", "step": 1, "path": "/etc/passwd"}\n')
        case "an endless line":
            os.write(1, b"x" * 2**25)
        case "silence":
            os.close(1)
        case "half a line":
            os.write(1, b'{"event": "star')
            return 0
        case "nothing at all":
            return 0
        case "an error of its own":
            raise SystemError("it cannot even start")
    time.sleep(600)
    return 0


if __name__ == "__main__":
    serve(misbehave)
