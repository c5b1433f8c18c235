"""The base of all records: what crosses process boundaries.

Imports no torch and no numpy: the agent that reads records has neither. Every number is finite.
"""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of all records: frozen, complete, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
