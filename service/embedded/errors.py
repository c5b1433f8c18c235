"""The errors of a stack on this machine."""


class EmbeddedError(Exception):
    """The stack cannot start or continue; the message says what to do."""


class HomeInUse(EmbeddedError):
    """Another supervisor holds this home."""
