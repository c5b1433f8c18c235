"""What can stand in the way of a stack on this machine."""


class EmbeddedError(Exception):
    """The stack cannot start or go on; the message says what to do."""


class HomeInUse(EmbeddedError):
    """Another supervisor holds this home."""
