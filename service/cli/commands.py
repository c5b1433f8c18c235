"""The commands of `polar`, each imported when it is run: the list of all needs none of them."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

#: The module of each command and the name that it has there.
PLACES: Mapping[str, tuple[str, str]] = {
    "up": ("service.cli.up", "up"),
    "demo": ("service.cli.demo", "demo"),
    "backup": ("service.cli.backup", "backup"),
    "restore": ("service.cli.backup", "restore"),
    "doctor": ("service.cli.doctor", "doctor"),
    "clean": ("service.cli.clean", "clean"),
    "run": ("service.cli.run", "run"),
    "measure": ("service.cli.measure", "measure"),
    "submit": ("service.cli.remote", "submit"),
    "list": ("service.cli.lists", "list_experiments"),
    "runs": ("service.cli.lists", "list_runs"),
    "get": ("service.cli.remote", "get"),
    "watch": ("service.cli.remote", "watch"),
    "logs": ("service.cli.logs", "logs"),
    "figures": ("service.cli.figures", "figures"),
    "compare": ("service.cli.compare", "compare"),
    "rerun": ("service.cli.remote", "rerun"),
    "extend": ("service.cli.remote", "extend"),
    "cancel": ("service.cli.remote", "cancel"),
    "tag": ("service.cli.describe", "tag"),
    "note": ("service.cli.describe", "note"),
    "rename": ("service.cli.describe", "rename"),
    "delete": ("service.cli.delete", "delete"),
    "rm": ("service.cli.delete", "delete"),
    "validate": ("service.cli.remote", "validate"),
    "study": ("service.cli.study", "app"),
    "data": ("service.cli.data", "app"),
    "token": ("service.cli.token", "app"),
    "login": ("service.cli.token", "login"),
}
#: What `polar --help` says about each command, which is how its own help begins.
HELP: Mapping[str, str] = {
    "up": "Start database, MLflow, API and agents on this machine; Ctrl-C stops them.",
    "demo": (
        "Start everything and draw the betas at which the latent space of a beta-VAE is clean."
    ),
    "backup": "Copy a home, with its databases and files, to a new folder; its stack may run.",
    "restore": "Make a new home of a backup of your own; its tokens are revoked.",
    "clean": "Say how many files and rows nobody needs any more, and remove them with --yes.",
    "doctor": "Check versions, disks, devices, clocks and stores, and say what to do.",
    "run": "Train the models of a spec and measure their latents, here and now.",
    "measure": "Measure the latents of any model from its codes.",
    "submit": "Submit an experiment; runs that exist already are shared.",
    "list": "List experiments, newest first.",
    "runs": "List runs, newest first.",
    "get": "Show an experiment or a run.",
    "watch": (
        "Show an experiment or a run live until it has ended, and fail if a run did not succeed."
    ),
    "logs": "Show the last lines that a run has printed, its errors included.",
    "figures": (
        "Save all figures of a run, an experiment or a study; those to come are waited for."
    ),
    "compare": (
        "Show the verdicts and the sorted entropies of runs side by side, and how specs differ."
    ),
    "rerun": (
        "Try a failed or cancelled run again in a new experiment, whose tag `repeats` names it."
    ),
    "extend": (
        "Go on with a finished run, or with those of an experiment or of a study, to more steps."
    ),
    "cancel": (
        "Cancel a run, or an experiment with those of its runs that no other experiment wants."
    ),
    "tag": "Set or remove tags of an experiment, a run or a study, and show those that it has.",
    "note": "Write or show the note of an experiment, a run or a study.",
    "rename": "Give an experiment, a run or a study another name.",
    "delete": (
        "Delete experiments, runs or studies for good, with the runs that nobody else has."
    ),
    "rm": "Delete experiments, runs or studies for good, with the runs that nobody else has.",
    "validate": "Check a spec without submitting it, and say which of its runs exist already.",
    "study": "Find where a latent space is clean.",
    "data": "List, fetch and check the datasets of this machine; add your own.",
    "token": "Make, list and revoke tokens for the service.",
    "login": "Print a link that lets one browser in, once, within five minutes.",
}


#: Other names of commands, for habits from elsewhere, which the list does not show.
HIDDEN = frozenset({"rm"})


class Commands(TyperGroup):
    """The group of all commands, of which only that which is run is imported."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.commands = {
            name: TyperCommand(name, help=HELP[name], hidden=name in HIDDEN) for name in PLACES
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """As typer's, which finds only the entry of the list."""
        name, entry, rest = super().resolve_command(ctx, args)
        return name, entry and load(str(name)), rest


def load(name: str) -> TyperCommand | TyperGroup:
    """Import a command."""
    module, attribute = PLACES[name]
    command = getattr(import_module(module), attribute)
    if isinstance(command, typer.Typer):
        return typer.main.get_group(command)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(command)
    return cast(TyperCommand, typer.main.get_command(alone))
