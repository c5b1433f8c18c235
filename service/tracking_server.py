"""The ASGI application `app`: MLflow's server behind our door, with its own artifacts alone."""

from mlflow.server.fastapi_app import app as mlflow_app

from service.artifact_locations import keep_to_own_artifacts
from service.guard import Guard
from service.settings import DoorSettings
from service.tracking_scopes import scope_of

keep_to_own_artifacts()
app = Guard(mlflow_app, DoorSettings.read_or_exit(), scope_of)
