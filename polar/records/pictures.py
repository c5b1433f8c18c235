"""The kinds of files that a figure can be drawn as."""

from typing import Literal

PictureKind = Literal["png", "svg", "pdf"]
