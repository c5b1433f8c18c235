"""A picture that notebooks show and that can be saved."""

from dataclasses import dataclass, field
from pathlib import Path

from polar.records.pictures import PictureKind

#: Seconds to wait for figures that are still to come.
FIGURE_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Picture:
    """A figure as a file would have it."""

    kind: PictureKind
    content: bytes = field(repr=False)

    def save(self, path: Path | str) -> Path:
        """Write the picture into a file, in place of an earlier one; returns its path."""
        path = Path(path)
        path.write_bytes(self.content)
        return path

    def _repr_png_(self) -> bytes | None:
        return self.content if self.kind == "png" else None

    def _repr_svg_(self) -> str | None:
        return self.content.decode() if self.kind == "svg" else None
