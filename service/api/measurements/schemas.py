"""Schema of the API's answers about measurements."""

from uuid import UUID

from polar.records.measurement import Measurement
from service.api.schemas import Figure, Links, ResponseModel


class MeasurementView(ResponseModel):
    """The report of a measurement of uploaded codes."""

    id: UUID
    report: Measurement
    figures: list[Figure]
    links: Links
