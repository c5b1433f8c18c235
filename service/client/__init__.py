"""The client of the API: `Client`, `AsyncClient`, their answers and their errors."""

from service.client.answers import Experiment as Experiment
from service.client.answers import Run as Run
from service.client.answers import Study as Study
from service.client.async_client import AsyncClient as AsyncClient
from service.client.client import Client as Client
from service.client.errors import ClientError as ClientError
from service.client.errors import OtherKind as OtherKind
from service.client.errors import Refused as Refused
from service.client.errors import Unreachable as Unreachable
from service.client.picture import Picture as Picture
from service.client.studies import Order as Order
