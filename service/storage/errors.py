"""What can go wrong at the door to the tables.

StorageError
    NotFound        no row has this id
    Conflict        the row is in a state that does not allow it
    RunLost         another attempt owns the run now, or it has ended
    EarlierVersion  what is stored was written by a version that this one cannot follow
    DatabaseAway    the database does not answer
"""


class StorageError(Exception):
    """Root of the errors of storage."""


class NotFound(StorageError):
    """No row has this id."""

    def __init__(self, what: str, id: object) -> None:
        super().__init__(f"there is no {what} {id}")


class Conflict(StorageError):
    """The row is in a state that does not allow this."""


class RunLost(StorageError):
    """The run has another owner, or has ended: what this worker still does for it is void."""


class EarlierVersion(StorageError):
    """An earlier version stored this, and this version cannot read or use it."""


class DatabaseAway(StorageError):
    """The database does not answer, and nobody knows whether it committed: repeat what may be."""
