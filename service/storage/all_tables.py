"""All tables of the schema `app`: this imports every module that declares some."""

from service.storage import (
    answered_posts,
    deletions,
    study_tables,
    tokens,
    tracking_tables,
    webhooks,
)
from service.storage.tables import Base

__all__ = [
    "Base",
    "answered_posts",
    "deletions",
    "study_tables",
    "tokens",
    "tracking_tables",
    "webhooks",
]
