"""The errors of Polar: one root, one class for each thing a caller would handle differently.

PolarError
    InvalidInput            an argument or a spec cannot be used; also a ValueError
        DeviceMissing       the machine does not have the device
    DatasetError            the files of a dataset cannot be used
        DatasetMissing      they are not where they were looked for
        DatasetCorrupt      they are there, but are not what they should be
    ToleranceNotReached     a requested accuracy cannot be reached
    Diverged                training produced a number that is not finite
    CheckpointUnusable      this run cannot resume from a checkpoint
"""


class PolarError(Exception):
    """Root of all errors that Polar raises on purpose."""


class InvalidInput(PolarError, ValueError):
    """An argument or a spec cannot be used; the message names the value and what is allowed."""


class DeviceMissing(InvalidInput):
    """The machine does not have the device, or no longer."""


class DatasetError(PolarError):
    """The files of a dataset cannot be used."""


class DatasetMissing(DatasetError):
    """The files of a dataset are not where they were looked for."""


class DatasetCorrupt(DatasetError):
    """The files of a dataset are there, but are not what they should be."""


class ToleranceNotReached(PolarError, ArithmeticError):
    """A requested accuracy cannot be reached."""


class Diverged(PolarError, ArithmeticError):
    """Training produced a number that is not finite."""


class CheckpointUnusable(PolarError):
    """This run cannot resume from a checkpoint: another spec, another format, or damaged."""
