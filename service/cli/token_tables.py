"""Tokens as a table for people."""

from collections.abc import Sequence

from rich.console import RenderableType

from service.api.tokens.schemas import TokenView
from service.cli.rows import Rows


def of(tokens: Sequence[TokenView]) -> RenderableType:
    table = Rows("name", "kind", "scope", "made", "expires")
    for token in tokens:
        end = "expired" if token.has_expired else token.expires_at
        table.add(token.name, token.kind, token.scope, token.created_at, end)
    return table
