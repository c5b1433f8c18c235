"""The errors of Polar: one root, one class for each thing a caller would handle differently.

PolarError
    InvalidInput            an argument or a spec that cannot be used; also a ValueError
    DatasetError            the files of a dataset cannot be used
        DatasetMissing      they are not where they were looked for
        DatasetCorrupt      they are there, but not what they should be
    ToleranceNotReached     an accuracy that was asked for cannot be kept
    Diverged                training left the finite numbers
    CheckpointUnusable      a checkpoint that this run cannot go on from
"""


class PolarError(Exception):
    """Root of all errors that Polar raises on purpose."""


class InvalidInput(PolarError, ValueError):
    """An argument or a spec cannot be used; the message names the value and what is allowed."""


class DatasetError(PolarError):
    """The files of a dataset cannot be used."""


class DatasetMissing(DatasetError):
    """The files of a dataset are not where they were looked for."""


class DatasetCorrupt(DatasetError):
    """The files of a dataset are there, but are not what they should be."""


class ToleranceNotReached(PolarError, ArithmeticError):
    """An accuracy that was asked for cannot be kept."""


class Diverged(PolarError, ArithmeticError):
    """Training left the finite numbers."""


class CheckpointUnusable(PolarError):
    """A checkpoint that this run cannot go on from: another spec, another format, or damaged."""
