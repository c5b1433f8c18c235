"""The `polar` command as a process: its version, its completion, what it loads."""

import os
import subprocess
import sys
from importlib.metadata import version

import polar


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_version_is_that_of_the_package() -> None:
    done = python("-m", "service.cli", "--version")

    assert done.stdout == f"polar {version('polar-latents')}\n"
    assert polar.__version__ == version("polar-latents")


def test_the_package_lists_its_public_names() -> None:
    assert dir(polar) == [
        "ExperimentSpec",
        "Watch",
        "__version__",
        "add_images",
        "complete",
        "load",
        "measure",
        "renyi_entropy",
        "run",
        "warm_started",
        "with_steps",
    ]
    assert all(getattr(polar, name) for name in dir(polar))


def test_the_shell_completes_commands_and_options() -> None:
    completing = {"_POLAR_COMPLETE": "complete_bash", "COMP_WORDS": "polar st", "COMP_CWORD": "1"}
    command = python("-m", "service.cli", **completing)
    completing |= {"COMP_WORDS": "polar study export --fo", "COMP_CWORD": "3"}
    option = python("-m", "service.cli", **completing)

    assert command.stdout.split() == ["study"]
    assert option.stdout.split() == ["--format"]
