"""What can go wrong when tables are read or written.

StorageError
    NotFound        no row has this id
    Conflict        the row is in a state that does not allow it
    AmbiguousId     the beginning of an id that several rows have
    RunLost         another attempt owns the run now, or the run has ended
    EarlierVersion  an earlier version stored something that this version cannot use
    DatabaseAway    the database does not answer
    DatabaseBusy      because all connections are in use, or others hinder this transaction
    DatabaseLocked  others keep a migration from its tables
"""


class StorageError(Exception):
    """Root of the errors of storage."""


class NotFound(StorageError):
    """No row has this id."""

    def __init__(self, what: str, id: object) -> None:
        super().__init__(f"there is no {what} {id}")


class Conflict(StorageError):
    """The row is in a state that does not allow this."""


class AmbiguousId(StorageError):
    """The ids of several rows begin so."""


class RunLost(StorageError):
    """The run has another owner or has ended, so this worker's further work on it is void."""


class EarlierVersion(StorageError):
    """An earlier version stored something that this version cannot read or use."""


class DatabaseAway(StorageError):
    """The database does not answer, and whether it has committed is unknown.

    The caller may repeat only what is safe to do twice.
    """


class DatabaseBusy(DatabaseAway):
    """The database works, but others are in the way; nothing of this was stored."""


class DatabaseLocked(StorageError):
    """Others keep a migration from a table, or from beginning; it may be tried again."""
