"""Texts that come from anywhere, such as the messages of errors, as they can be stored."""

#: Characters that are kept: the end of a long traceback says most.
MOST_CHARACTERS = 8000


def printable(text: str) -> str:
    """The end of a text, without what JSON or Postgres have no room for."""
    text = text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= MOST_CHARACTERS else "..." + text[3 - MOST_CHARACTERS :]
