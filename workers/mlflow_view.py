"""The columns in which researchers compare runs, as a saved view of MLflow's run table.

MLflow shows no numbers until somebody has chosen columns. It keeps such a choice as a tag of the
experiment, in a format of its own (that of the menu `Views` of MLflow 3.17; one that does not know
it ignores it). So every experiment gets one: the menu offers it, and a link opens it with the
query `viewStateShareKey=polar`.
"""

import base64
import json
import zlib
from collections.abc import Mapping

KEY, NAME = "polar", "Polar"

#: From left to right, with the width that the name needs, in pixels.
_COLUMNS = {
    "metrics.`weight`": 70,
    "tags.`polar.regime`": 130,
    "metrics.`regime/polarisation`": 140,
    "metrics.`regime/explained`": 130,
    "metrics.`latent/n_active`": 115,
    "tags.`polar.converged`": 120,
    "tags.`polar.state`": 95,
    "tags.`polar.status_reason`": 150,
}


def experiment_tags() -> Mapping[str, str]:
    """The view as the tag of a new experiment."""
    columns = list(_COLUMNS)
    state = {"selectedColumns": columns, "columnOrder": columns, "columnWidths": _COLUMNS}
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": NAME, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return {f"mlflow.sharedViewState.{KEY}": json.dumps(view)}
