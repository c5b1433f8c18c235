"""Where webhooks may lead, and that it is said before the first of them is told."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.settings import Settings
from service.studies.webhooks import tell
from service.webhook_addresses import is_public, untold

SECRET = "k" * 43


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "fec0::1", "64:ff9b:1::7f00:1", "::127.0.0.1", "::ffff:0:7f00:1",
    ],
)  # fmt: skip
def test_addresses_of_machine_and_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "127.0.0.1", "127.1", "2130706433", "0x7f000001",
        "017700000001", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]", "169.254.169.254", "[fe80::1%25lo]", "[fd00:ec2::254]", "10.1",
        "user:word@127.0.0.1",
    ],
)  # fmt: skip
def test_no_way_to_write_an_address_leads_to_this_machine(host: str) -> None:
    (why,) = untold([f"http://{host}:80/x"], is_private_allowed=False)

    assert "which is no public address; allowed: public addresses" in why or "looked up" in why
    assert "word" not in why


def test_what_can_be_told_is_not_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(untold(["http://93.184.216.34/"], is_private_allowed=False))
    assert not list(untold(["http://127.0.0.1/"], is_private_allowed=True))
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    (why,) = untold(["http://nowhere.example/"], is_private_allowed=True)
    assert why == "nowhere.example cannot be looked up: [Errno -2] there is no such name"


def fail(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "there is no such name")


async def test_the_broker_says_at_its_start_who_will_not_be_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    hook = {"webhooks": "http://user:word@127.0.0.1/", "webhook_secret": SecretStr(SECRET)}
    telling = asyncio.create_task(tell(settings.model_copy(update=hook)))
    with caplog.at_level(logging.WARNING):
        for _ in range(600):
            if caplog.messages:
                break
            await asyncio.sleep(0.05)
    telling.cancel()
    await asyncio.wait([telling])

    assert "a webhook will not be told: 127.0.0.1 is 127.0.0.1, which is no" in caplog.text
    assert "word" not in caplog.text


UP = """
import sys, time
from service import cli
from service.embedded import supervisor

supervisor.run = lambda home, programs_for, say, lets_in: time.sleep(1)
sys.argv[0] = "polar"
cli.main()
"""


def test_polar_up_says_who_will_not_be_told(tmp_path: Path) -> None:
    hooks = {"POLAR_WEBHOOKS": "http://[::1]:9/", "POLAR_WEBHOOK_SECRET": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", UP, "up", "--home", str(tmp_path), "--device", "cpu"],
        env=os.environ | hooks,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "warning: as it is now, a webhook will not be told: ::1 is ::1, which" in done.stdout
