"""Where the state of a stack is: its home."""

from pathlib import Path

from polar.errors import InvalidInput

DEFAULT_HOME = Path("~/.polar")


def resolved_home(home: Path) -> Path:
    """The home of a stack as an absolute path without links.

    Raises:
        InvalidInput: as `in_users_home`.
    """
    return in_users_home(home).resolve()


def in_users_home(path: Path) -> Path:
    """The path, with the user's own folder in the place of a `~` at its beginning.

    Raises:
        InvalidInput: this user has no such folder, as in containers.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InvalidInput(
            f"{path} is in the home folder of a user who has none; set POLAR_HOME to a folder "
            "where the state of Polar shall be kept"
        ) from error
