"""What another user of the machine can do to a stack that runs: nothing."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from polar.client import Client
from service.embedded.running import running_stack
from service.homes import token_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")

SPEC = {"dataset": {"name": "digits"}, "model": {"beta": 1.0}, "training": {"steps": 1_000_000}}
PATIENCE_S = 300

#: Tries, as the user `nobody` and with the standard library alone, all that it is told of, and
#: prints what succeeded.
STRANGER = """
import json, os, sys, urllib.error, urllib.request
told = json.load(sys.stdin)
"".encode("idna")  # loaded while we may still read the library
os.setgroups([])
os.setgid(told["gid"])
os.setuid(told["uid"])
done, answers = [], []
def attempt(what, act):
    try:
        act()
    except OSError:
        pass
    else:
        done.append(what)
for path in told["paths"]:
    attempt(f"read {path}", lambda: os.listdir(path) if os.path.isdir(path) else open(path).read())
    attempt(f"write {path}", lambda: open(path, "a"))
    attempt(f"remove {path}", lambda: os.remove(path))
attempt("make a file", lambda: open(os.path.join(told["home"], "mine"), "w"))
for pid in told["pids"]:
    attempt(f"stop {pid}", lambda: os.kill(pid, 15))
    attempt(f"environment of {pid}", lambda: open(f"/proc/{pid}/environ").read())
for method, url in told["requests"]:
    body = None if method == "GET" else json.dumps(told["spec"]).encode()
    asked = urllib.request.Request(url, body, method=method)
    asked.add_header("Content-Type", "application/json")
    try:
        answers.append(urllib.request.urlopen(asked).status)
    except urllib.error.HTTPError as error:
        answers.append(error.code)
print(json.dumps({"done": done, "answers": answers}))
"""


@pytest.fixture
def stack(open_folder: Path) -> Iterator[dict[str, Any]]:
    """A stack with a run that goes on, and what a stranger may know of it."""
    home = open_folder / "home"
    with running_stack(home, agents=1, device="cpu") as stack, Client(home=home) as client:
        run = client.submit(SPEC).runs[0]
        experiment = next(client.experiments())
        yield {
            "home": str(home),
            "api": f"{stack.api_url}/api/v1",
            "mlflow": stack.mlflow_url,
            "dashboard": stack.dashboard_url,
            "pids": list(stack.processes.values()),
            "run": str(run.id),
            "experiment": str(experiment.id),
        }


def test_nobody_reads_submits_cancels_or_ends_anything(stack: dict[str, Any]) -> None:
    home, nobody = Path(stack["home"]), pwd.getpwnam("nobody")
    paths = [home, *home.rglob("*")]
    requests = [
        ("api", "GET", "/experiments"),
        ("api", "GET", f"/runs/{stack['run']}"),
        ("api", "POST", "/experiments"),
        ("api", "POST", f"/runs/{stack['run']}/cancel"),
        ("api", "POST", f"/experiments/{stack['experiment']}/cancel"),
        ("api", "DELETE", f"/experiments/{stack['experiment']}"),
        ("api", "POST", "/tokens"),
        ("api", "POST", "/login-links"),
        ("mlflow", "GET", "/"),
        ("mlflow", "POST", "/api/2.0/mlflow/experiments/create"),
        ("mlflow", "POST", "/api/2.0/mlflow/runs/search"),
        ("mlflow", "GET", "/get-artifact?run_uuid=x&path=passwd"),
        ("mlflow", "PUT", "/api/2.0/mlflow-artifacts/artifacts/mine.txt"),
        ("mlflow", "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=x&path=mine.txt"),
        ("dashboard", "GET", "/dashboard"),
        ("dashboard", "GET", "/api/studies"),
        ("dashboard", "DELETE", "/api/studies/1"),
    ]
    told = stack | {
        "uid": nobody.pw_uid,
        "gid": nobody.pw_gid,
        "paths": [str(path) for path in paths],
        "requests": [(method, stack[server] + path) for server, method, path in requests],
        "spec": SPEC,
    }

    answer = subprocess.run(
        ["/usr/bin/env", "python3", "-c", STRANGER],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=PATIENCE_S,
    )
    with Client(home=home) as client:
        run = client.run(stack["run"])
        experiments = list(client.experiments())

    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert said["done"] == []
    assert said["answers"] == [401] * len(requests)
    assert not list(home.rglob("mine.txt"))
    assert {"token", "database.json", "postgres"} <= {path.name for path in paths}
    assert run.state in ("queued", "running")
    assert len(experiments) == 1


def test_the_owner_types_nothing_and_a_browser_gets_in(stack: dict[str, Any]) -> None:
    polar = Path(sys.executable).with_name("polar")
    environment = os.environ | {"POLAR_HOME": stack["home"]}

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [polar, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    listed = said("list", "--url", stack["api"].removesuffix("/api/v1"), "-o", "json")
    guest = said("token", "create", "guest")
    pages = [f"{stack['api']}/experiments", stack["mlflow"], f"{stack['dashboard']}/dashboard"]
    with httpx.Client(base_url=stack["api"], timeout=PATIENCE_S) as browser:
        before = [browser.get(page).status_code for page in pages]
        browser.get(said("login"))
        after = [browser.get(page).status_code for page in pages]
        as_guest = {"Authorization": f"Bearer {guest}"}
        cancelled = browser.post(f"/runs/{stack['run']}/cancel", headers=as_guest).status_code

    assert stack["experiment"] in listed
    assert (before, after, cancelled) == ([401] * 3, [200] * 3, 403)
    assert token_of(Path(stack["home"])) not in (None, guest)


def test_mlflow_serves_users_with_tokens_and_its_own_files_alone(
    stack: dict[str, Any], open_folder: Path
) -> None:
    polar = Path(sys.executable).with_name("polar")
    guest = subprocess.run(
        [polar, "token", "create", "guest"],
        env=os.environ | {"POLAR_HOME": stack["home"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (open_folder / "x").mkdir()
    (open_folder / "x" / "link").symlink_to(stack["home"])
    elsewhere = {"name": "elsewhere", "artifact_location": (open_folder / "x").as_uri()}
    here = {"name": "here"}

    with httpx.Client(base_url=f"{stack['mlflow']}/api/2.0/mlflow", timeout=PATIENCE_S) as mlflow:

        def ask(token: str | None, what: str, content: dict[str, Any]) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return mlflow.post(f"/experiments/{what}", json=content, headers=headers).status_code

        owner = token_of(Path(stack["home"]))
        asked = [
            ask(guest, "search", {"max_results": 1}),
            ask(guest, "create", here),
            ask(owner, "create", elsewhere),
            ask(owner, "create", here),
        ]

    assert asked == [200, 403, 403, 200]


def test_all_files_of_the_home_are_the_owners_alone(stack: dict[str, Any]) -> None:
    home = Path(stack["home"])
    database = home / "postgres"
    open_to_others = [
        path
        for path in home.rglob("*")
        if not path.is_relative_to(database)
        and path.lstat().st_mode & 0o077
        and not path.is_symlink()
    ]

    assert open_to_others == []
