"""Findings in MLflow: they come after the end of their run, and nobody has to ask for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from polar.records.events import AFTER_TRAINING, ArtifactSaved, Event, Result
from service.storage import findings, runs, tracking
from service.storage.database import Database
from service.storage.findings import Claimed
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.workers.tracking.conftest import Story

DIGEST = "d" * 64
