"""Tables and facts that fit the terminal without cutting anything.

A row is one line as far as its columns fit; the other cells follow beneath it with the names of
their columns. Only texts are wrapped within their column, between words. A word, such as an id or
a weight, is broken only if even a line of its own is too short for it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.style import Style
from rich.text import Text

#: A time is shown as its age on a terminal, and in full elsewhere.
Cell = str | datetime | None

GAP = 2
INDENT = 4
#: Fewest columns in which a text can be read.
TEXT_WIDTH = 14

_BOLD = Style(bold=True)
#: Whitespace becomes blanks; other control characters become the replacement character.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")
_CONTROLS |= dict.fromkeys(map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"), " ")


class Rows:
    """A table; `texts` are the columns that may be wrapped."""

    def __init__(self, *columns: str, texts: Collection[str] = ("name", "note")) -> None:
        self._columns = columns
        self._texts = texts
        self._rows: list[Sequence[Cell]] = []
        self._links: list[str | None] = []

    def add(self, *cells: Cell, link: str | None = None) -> None:
        """Add a row, whose first cell leads to the link where the terminal shows links."""
        self._rows.append(cells)
        self._links.append(link)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        rows = [[_shown(cell, console) for cell in row] for row in self._rows]
        widths = self._widths(rows, options.max_width, console.is_terminal)
        yield Text(_side_by_side([[self._columns[at]] for at in widths], widths.values()), _BOLD)
        for row, link in zip(rows, self._links, strict=True):
            cells = [_wrapped(row[at], width, console) for at, width in widths.items()]
            for number in range(max(map(len, cells), default=0)):
                line = Text(
                    _side_by_side([cell[number : number + 1] for cell in cells], widths.values())
                )
                if link and number == 0:
                    line.stylize(Style(link=link), 0, len(cells[0][0]))
                yield line
            rest = {
                name: row[at]
                for at, name in enumerate(self._columns)
                if at not in widths and row[at]
            }
            yield from _beneath(rest, options.max_width, console)

    def _widths(
        self, rows: Sequence[Sequence[str]], width: int, is_terminal: bool
    ) -> dict[int, int]:
        """Widths of the columns that fit side by side, by the number of the column.

        Empty columns are not shown on a terminal.
        """
        widths: dict[int, int] = {}
        wanted: dict[int, int] = {}
        left = width
        for at, name in enumerate(self._columns):
            cells = [row[at] for row in rows]
            if is_terminal and rows and not any(cells):
                continue
            wanted[at] = least = max(map(cell_len, (name, *cells)))
            if name in self._texts:
                least = max(min(least, TEXT_WIDTH), _longest_word((name, *cells)))
            if widths and least > left:
                break  # all later columns go beneath the row as well, so that their order stays
            widths[at] = min(least, left)
            left -= widths[at] + GAP
        left += GAP
        for at, least in widths.items():
            widths[at] = least + min(wanted[at] - least, max(0, left))
            left -= widths[at] - least
        return widths


class Facts:
    """A list of facts, with a line for each that is known."""

    def __init__(self, facts: Mapping[str, str | None]) -> None:
        self._facts = {name: value for name, value in facts.items() if value}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        names = max(map(cell_len, self._facts), default=0) + GAP
        for name, value in self._facts.items():
            shown = _shown(value, console)
            style = Style(link=value) if value.startswith(("http://", "https://")) else Style()
            is_beside = _longest_word([shown]) <= options.max_width - names
            indent = names if is_beside else INDENT
            lines = _wrapped(shown, options.max_width - indent, console)
            if not is_beside:
                yield Text(name)
            for number, line in enumerate(lines):
                before = name if is_beside and number == 0 else ""
                yield Text.assemble(_padded(before, indent), (line, style))


def _shown(cell: Cell, console: Console) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return without_controls(cell)
    if console.is_terminal:
        return age((datetime.now(UTC) - cell).total_seconds())
    return cell.astimezone().isoformat(sep=" ", timespec="seconds")


def without_controls(text: str) -> str:
    """The text without characters that move the cursor, or colour what follows."""
    return text.translate(_CONTROLS)


def age(seconds: float) -> str:
    """The age in words, no more precise than a reader of tables needs."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds // length_s:.0f}{unit} ago"
    return f"{max(0.0, seconds):.0f}s ago"


def _beneath(facts: Mapping[str, str], width: int, console: Console) -> Iterator[Text]:
    """Lines of the named facts, each with as many facts as it has room for."""
    line = ""
    for fact in (f"{name}: {value}" for name, value in facts.items()):
        joined = f"{line}{' ' * GAP}{fact}" if line else fact
        if cell_len(joined) <= width - INDENT:
            line = joined
            continue
        if line:
            yield Text(" " * INDENT + line)
        *full, line = _wrapped(fact, width - INDENT, console)
        yield from (Text(" " * INDENT + each) for each in full)
    if line:
        yield Text(" " * INDENT + line)


def _side_by_side(cells: Sequence[Sequence[str]], widths: Collection[int]) -> str:
    """The cells on one line, each padded to its width."""
    padded = (_padded("".join(cell), width) for cell, width in zip(cells, widths, strict=True))
    return (" " * GAP).join(padded).rstrip()


def _longest_word(texts: Iterable[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _wrapped(text: str, width: int, console: Console) -> list[str]:
    """The text on lines that are no wider than `width`; at least one line."""
    if cell_len(text) <= width:
        return [text]
    lines = Text(text).wrap(console, width, overflow="fold", tab_size=1)
    return [line.plain.rstrip() for line in lines]
