"""Makes texts of any origin, such as error messages, fit for storage."""

#: Number of characters that are kept, from the end, because a traceback says most there.
MOST_CHARACTERS = 8000


def printable(text: str) -> str:
    """The end of a text, without characters that JSON or Postgres cannot represent."""
    text = text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= MOST_CHARACTERS else "..." + text[3 - MOST_CHARACTERS :]
