"""The client of the service, for programs and notebooks.

>>> from polar.client import Client
>>> client = Client()                         # the stack of `polar up`; or Client("http://box:8650")
>>> study = client.create_study(spec).wait()
>>> study.figure(), study.frame(), study.best_run().model()

It is the one module of `polar` that stands on the service, because the package that users install
and import has this name.
"""

from service.client import AsyncClient as AsyncClient
from service.client import Client as Client
from service.client import ClientError as ClientError
from service.client import Experiment as Experiment
from service.client import OtherKind as OtherKind
from service.client import Picture as Picture
from service.client import Refused as Refused
from service.client import Run as Run
from service.client import Study as Study
from service.client import Unreachable as Unreachable
