"""Has the broker advance all studies whenever a run has changed, whatever the database does."""

import asyncio
import logging
import sys

import psycopg
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from service import queue
from service.connections import connect_args
from service.listening import ListeningConnection
from service.settings import Settings
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.roles import Role
from service.storage.runs import CHANGED
from service.studies.broker import Broker

_log = logging.getLogger(__name__)

#: The broker looks for work at least this often, in seconds, even without a notification.
LOOKS_EVERY_S = 2.0
#: Seconds that a sampler may take for a point; after 1,000 trials Optuna's `gp` needs 30.
ASKS_S = 600
#: Errors of a database that does not answer: ours, the listening connection's, and Optuna's two.
AWAY = (DatabaseAway, psycopg.OperationalError, SQLAlchemyError, StorageInternalError)


def read_settings_or_exit() -> Settings:
    """The settings of a broker, which needs an address of Optuna's database that it may open."""
    settings = Settings.read_or_exit()
    role = make_url(settings.sqlalchemy_url).username
    if settings.optuna_url is None and role == Role.APP:
        sys.exit(
            f"error: POLAR_OPTUNA_URL is not set, and {role}, as which POLAR_DATABASE_URL logs in,"
            f" may not open the database `optuna`; allowed: its address for {Role.OPTUNA}"
        )
    return settings


async def advance(settings: Settings) -> None:
    """Advance all studies whenever a run has changed, until this coroutine is cancelled."""
    database = Database(settings.sqlalchemy_url, idle_s=ASKS_S)
    app = queue.queue_app(settings)
    while True:
        try:
            storage = await asyncio.to_thread(optuna_storage, settings)
            async with await _listening(settings) as connection:
                broker = Broker(database, app, storage)
                while True:
                    await broker.advance_all()
                    async for _ in connection.notifies(timeout=LOOKS_EVERY_S, stop_after=1):
                        pass
        except AWAY as error:
            _log.warning("the database is away, next try in %.0f s: %s", LOOKS_EVERY_S, error)
            await asyncio.sleep(LOOKS_EVERY_S)


def optuna_storage(settings: Settings) -> RDBStorage:
    """The database in which Optuna keeps its studies."""
    return RDBStorage(
        settings.optuna_sqlalchemy_url,
        engine_kwargs={"pool_pre_ping": True, "connect_args": connect_args()},
    )


async def _listening(settings: Settings) -> ListeningConnection:
    connection = await ListeningConnection.connect(
        settings.database_url.get_secret_value(), autocommit=True, **connect_args()
    )
    await connection.execute(f"listen {CHANGED}")
    return connection
