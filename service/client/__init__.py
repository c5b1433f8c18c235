"""A small client of the API: `Client`, and its errors."""

from service.client.client import Client as Client
from service.client.client import Order as Order
from service.client.errors import ClientError as ClientError
from service.client.errors import OtherKind as OtherKind
from service.client.errors import Refused as Refused
from service.client.errors import Unreachable as Unreachable
