"""The columns in which researchers compare runs, as a view of MLflow's run table.

MLflow shows no numbers until somebody chooses columns, and keeps such a choice as a tag of the
experiment (its format: what its own page writes, 3.17). So every experiment gets one, which its
menu `Views` offers, and which the query `viewStateShareKey=polar` opens.
"""

import base64
import json
import zlib
from collections.abc import Mapping

NAME = "Polar"
KEY = "polar"

_METRICS = (
    "weight",
    "regime/polarisation",
    "regime/explained",
    "latent/n_active",
    "latent/n_passive",
    "eval/reconstruction_nats",
)
_TAGS = ("polar.regime", "polar.converged", "polar.state", "polar.status_reason")


def experiment_tags() -> Mapping[str, str]:
    """The view, as the tag of a new experiment."""
    columns = [f"metrics.`{name}`" for name in _METRICS] + [f"tags.`{name}`" for name in _TAGS]
    state = json.dumps({"selectedColumns": columns}).encode()
    packed = "deflate;" + base64.b64encode(zlib.compress(state)).decode()
    view = {"name": NAME, "createdAt": 0, "updatedAt": 0, "state": packed}
    return {f"mlflow.sharedViewState.{KEY}": json.dumps(view)}
