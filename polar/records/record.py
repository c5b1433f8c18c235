"""The base of all records, the data that crosses process boundaries.

Records import no torch and no numpy, because the agent that reads them has neither. Every number
is finite.
"""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of all records: frozen, complete, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
