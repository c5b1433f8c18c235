"""The process of the broker and the tracker: they end together, and neither goes on alone."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from service import clerk
from service.settings import Settings


class Colleague:
    """In place of the broker or of the tracker: works until it is cancelled, or fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.was_cancelled = False

    async def work(self, settings: Settings) -> None:
        assert settings.mlflow_url == ""
        if self.fault:
            raise self.fault
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def staff(monkeypatch: pytest.MonkeyPatch, broker: Colleague, tracker: Colleague) -> Settings:
    monkeypatch.setattr(clerk, "advance", broker.work)
    monkeypatch.setattr(clerk, "track", tracker.work)
    return Settings(database_url=SecretStr("postgresql:///x"), artifacts=Path(), mlflow_url="")


@pytest.mark.parametrize("failing", ["broker", "tracker"])
async def test_a_fault_of_one_ends_both(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ValueError("a bug")
    faulty, other = Colleague(fault), Colleague()
    pair = (faulty, other) if failing == "broker" else (other, faulty)
    settings = staff(monkeypatch, *pair)

    with pytest.raises(ExceptionGroup) as raised:
        await clerk.work(settings)

    assert raised.value.exceptions == (fault,)
    assert other.was_cancelled


async def test_both_are_stopped_together(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, tracker = Colleague(), Colleague()
    settings = staff(monkeypatch, broker, tracker)
    task = asyncio.create_task(clerk.work(settings))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert broker.was_cancelled
    assert tracker.was_cancelled
