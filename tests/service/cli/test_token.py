"""`polar token` and `polar login`, against a real service."""

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from service.tokens import is_token

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar


async def test_a_token_is_made_listed_used_and_revoked(
    polar: "Polar", monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await polar("token", "create", "anna", "--scope", "submit", "--days", 7)
    listed = await polar("token", "list")
    token = made.stdout.strip()
    with monkeypatch.context() as as_anna:
        as_anna.setenv("POLAR_TOKEN", token)
        allowed = await polar("list")
        refused = await polar("token", "create", "bob")
    revoked = await polar("token", "revoke", "anna")
    monkeypatch.setenv("POLAR_TOKEN", token)
    gone = await polar("list")

    assert is_token(token)
    assert "'anna' may submit until" in made.stderr
    assert "anna" in listed.stdout
    assert token not in listed.stdout
    assert (allowed.exit_code, revoked.exit_code) == (0, 0)
    assert refused.exit_code == gone.exit_code != 0
    assert "needs the scope 'admin', and 'anna' has 'submit'" in refused.stderr
    assert "the token 'anna' was revoked" in gone.stderr


async def test_without_a_token_the_command_says_how_to_get_one(
    polar: "Polar", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLAR_TOKEN")

    answer = await polar("list")

    assert answer.exit_code != 0
    assert "no token came with this request" in answer.stderr
    assert "polar token create NAME" in answer.stderr


async def test_a_link_is_printed_that_lets_a_browser_in(polar: "Polar", served: str) -> None:
    answer = await polar("login")

    link = answer.stdout.strip()
    async with httpx.AsyncClient() as browser:
        opened = await browser.get(link)
    assert link.startswith(f"{served}/api/v1/login?link=")
    assert opened.status_code == 303
    assert opened.cookies["polar"]


async def test_the_link_is_on_no_command_line(
    polar: "Polar", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Whoever opens it first is in, and everybody sees with what `xdg-open` was started.
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("POLAR_HOME", str(tmp_path / "home"))

    answer = await polar("login", "--open")

    page = tmp_path / "home" / "login.html"
    assert opened == [page.as_uri()]
    assert f"url={answer.stdout.strip()}" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o600
