"""`python -m workers`: runs an agent in the foreground until SIGTERM or SIGINT."""

import argparse
import asyncio
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from service import logs
from service.settings import Settings, worker_name
from workers.training.agent import TEMPLATE, Agent


def main(arguments: Sequence[str] | None = None, *, command: Sequence[str] = TEMPLATE) -> int:
    """Run an agent; returns its exit code."""
    options = _parser().parse_args(arguments)
    logs.set_up()
    settings = Settings.read_or_exit()
    _check_is_writable(settings.artifacts)
    return asyncio.run(_run(settings, options.name, options.device, command))


async def _run(settings: Settings, name: str, device: str, command: Sequence[str]) -> int:
    agent = Agent(settings, name=name, device=device, command=command)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, agent.stop)
    return await agent.work()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--name", default=worker_name(), help="unique among all agents")
    parser.add_argument(
        "--device", default="auto", type=_device, help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    return parser


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: auto, cpu, cuda, cuda:N")
    return text


def _check_is_writable(artifacts: Path) -> None:
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=artifacts).close()
    except OSError as error:
        sys.exit(
            f"cannot write to the artifact folder {artifacts}: {error.strerror}. POLAR_ARTIFACTS "
            "must name a folder that this user may write to, the same on all machines."
        )


if __name__ == "__main__":
    sys.exit(main())
