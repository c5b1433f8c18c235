"""Running stacks: how to publish, find and check a stack, and how to start one temporarily."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from polar.errors import InvalidInput
from service.embedded.errors import EmbeddedError
from service.embedded.state import write_json
from service.embedded.supervised import Launch, last_lines, spawn
from service.homes import UpJson, holder, read_published, resolved_home, token_of, unusable
from service.programs import Program, python

HEALTHY_S = 180.0
#: Longer than all stages of a stop take together.
STOP_S = 150.0
POLL_S = 0.1
PROBE_S = 2.0


@dataclass(frozen=True)
class RunningStack:
    """The content of `up.json`; it has no secrets."""

    api_url: str
    mlflow_url: str
    dashboard_url: str
    #: Process id of the supervisor.
    pid: int
    #: Process ids of the other processes by name, without those that wait to be restarted.
    processes: Mapping[str, int]
    #: Identity of the home. The API answers with it too, so clients know whose stack answers.
    home_id: str


def publish(home: Path, stack: RunningStack) -> None:
    """Writes `up.json`."""
    content: UpJson = {
        "api": stack.api_url,
        "mlflow": stack.mlflow_url,
        "dashboard": stack.dashboard_url,
        "pid": stack.pid,
        "home_id": stack.home_id,
        "processes": dict(stack.processes),
    }
    write_json(home / "up.json", content)


def withdraw(home: Path) -> None:
    (home / "up.json").unlink(missing_ok=True)


def find_running(home: Path) -> RunningStack | None:
    """The stack of this home; None if none runs, even if a killed stack has left its `up.json`.

    Raises:
        EmbeddedError: the stack is of an earlier version, or `up.json` cannot be read.
    """
    try:
        content = read_published(home)
    except InvalidInput as error:
        raise EmbeddedError(str(error)) from error
    if content is None:
        return None
    return RunningStack(
        content["api"],
        content["mlflow"],
        content["dashboard"],
        content["pid"],
        dict(content["processes"]),
        content["home_id"],
    )


def wait_until_healthy(
    home: Path, within_s: float = HEALTHY_S, starter: subprocess.Popen[bytes] | None = None
) -> RunningStack:
    """Wait until the stack of this home is healthy, and return it.

    Args:
        home: The home of the stack.
        within_s: How long to wait.
        starter: The stack's supervisor, if it is our child; if it ends, so does the wait.

    Raises:
        EmbeddedError: the stack is not healthy in time, or its supervisor has ended.
    """
    deadline = time.monotonic() + within_s
    while True:
        stack = find_running(home)
        if stack and not _unhealthy(stack):
            return stack
        if starter and starter.poll() is not None:
            raise EmbeddedError(
                f"the stack of {home} did not start:\n{last_lines(home / 'log' / 'up.log')}"
            )
        if time.monotonic() > deadline:
            missing = f"no answer from {', '.join(_unhealthy(stack))}" if stack else "not running"
            raise EmbeddedError(
                f"the stack of {home} is not healthy after {within_s:g} s ({missing}); "
                f"see the logs in {home / 'log'}"
            )
        time.sleep(POLL_S)


def login_link(home: Path, stack: RunningStack) -> str | None:
    """An address that lets one browser in, to read, submit and steer; None if the API refuses."""
    headers = {"Authorization": f"Bearer {token_of(home)}"}
    with closing(HTTPConnection(urlsplit(stack.api_url).netloc, timeout=PROBE_S)) as connection:
        try:
            connection.request("POST", "/api/v1/login-links?scope=steer", headers=headers)
            answer = connection.getresponse()
            link = json.loads(answer.read())
        except (OSError, HTTPException, ValueError):
            return None
    return f"{stack.api_url}{link['url']}" if answer.status == HTTPStatus.CREATED else None


@contextmanager
def running_stack(
    home: Path, *, agents: int | None = None, device: str | None = None
) -> Iterator[RunningStack]:
    """The healthy stack of this home: the running one, or else one that is stopped at the end.

    Args:
        home: The home of the stack.
        agents: As in `slots`; ignored if a stack already runs.
        device: As in `slots`; ignored if a stack already runs.

    Raises:
        EmbeddedError: the stack does not start, or does not become healthy.
    """
    home = resolved_home(home)
    if holder(home) is not None:
        yield wait_until_healthy(home)
        return
    try:
        (home / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "log" / "up.log").touch(mode=0o600)
        supervisor = spawn(_polar_up(home, agents, device), home / "log" / "up.log")
    except OSError as error:
        raise EmbeddedError(unusable(home, error)) from error
    try:
        yield wait_until_healthy(home, starter=supervisor)
    finally:
        supervisor.terminate()
        try:
            supervisor.wait(STOP_S)
        except subprocess.TimeoutExpired:
            supervisor.kill()  # the kernel then stops its children
            supervisor.wait()


def _polar_up(home: Path, agents: int | None, device: str | None) -> Launch:
    command = [*python(Program.POLAR, "up", "--home", str(home))]
    if agents is not None:
        command += ["--agents", str(agents)]
    if device is not None:
        command += ["--device", device]
    return Launch("up", command)


def _unhealthy(stack: RunningStack) -> list[str]:
    # MLflow first, because it begins with the first connection and takes longest.
    checks = (f"{stack.mlflow_url}/health", f"{stack.api_url}/api/v1/readyz")
    return [check for check in checks if not _is_ok(check)]


def _is_ok(url: str) -> bool:
    # Not with httpx: the supervisor would hold its libraries for ever, for this alone.
    address = urlsplit(url)
    with closing(HTTPConnection(address.netloc, timeout=PROBE_S)) as connection:
        try:
            connection.request("GET", address.path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
