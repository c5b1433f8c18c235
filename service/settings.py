"""Everything that depends on the environment, on one page; read once, passed in."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from polar.errors import InvalidInput
from polar.spec.faults import Fault, find_faults
from service.addresses import http_url, is_loopback
from service.database_urls import libpq_url, sqlalchemy_url
from service.homes import DEFAULT_HOME, in_users_home

#: The longest wait in seconds: the timers of some processes overflow with longer waits.
WEEK_S = 7 * 24 * 3600.0


def _readable_by_libpq(address: SecretStr) -> SecretStr:
    return SecretStr(libpq_url(address.get_secret_value()))


def _named(folder: str | Path) -> str | Path:
    if folder == "":  # as a path, the current folder
        raise ValueError("this is empty; allowed: the path of a folder")
    return folder


DatabaseUrl = Annotated[SecretStr, AfterValidator(_readable_by_libpq)]
Folder = Annotated[Path, BeforeValidator(_named), AfterValidator(in_users_home)]
ServerUrl = Annotated[str, AfterValidator(http_url)]
Seconds = Annotated[float, Field(gt=0, le=WEEK_S)]


class Settings(BaseSettings):
    """Read from environment variables named `POLAR_` + the field, such as `POLAR_HOME`."""

    model_config = SettingsConfigDict(env_prefix="POLAR_", frozen=True)

    #: State of the embedded mode: database, logs, `up.json`.
    home: Path = DEFAULT_HOME
    #: The identity of that home, which the API's health answer repeats; `polar up` sets it.
    home_id: str | None = None
    #: `postgresql://user:password@host:port/app`; secret, so it has no default.
    database_url: DatabaseUrl
    #: The database of Optuna, which only the broker opens; by default `optuna` on the same server.
    optuna_url: DatabaseUrl | None = None
    #: Where checkpoints and results go; one folder for all machines.
    artifacts: Folder
    #: Where the tracker and the links of the API find MLflow.
    mlflow_url: ServerUrl
    #: Where the links of the API find optuna-dashboard.
    dashboard_url: ServerUrl = "http://127.0.0.1:8651"
    #: Address of the API, and of the dashboard; loopback only, as long as there are no tokens.
    api_host: str = "127.0.0.1"
    api_port: int = Field(8650, ge=1, le=65535)
    #: A socket that listens there already, inherited under this number from who started the API.
    api_fd: int | None = Field(None, ge=3)
    dashboard_port: int = Field(8651, ge=1, le=65535)
    dashboard_fd: int | None = Field(None, ge=3)
    #: Other addresses too, for where something else keeps strangers out, as in a container.
    api_allow_remote: bool = False
    #: Names that requests may call the API and the dashboard by, with blanks between them. All IP
    #: addresses, this machine's own name, `localhost` and POLAR_API_HOST are allowed without being
    #: listed, also where they listen for other machines; every other name is refused.
    api_hosts: str = ""

    #: A run belongs to its agent for so long after each renewal.
    lease_s: Seconds = 30.0
    renew_s: Seconds = 5.0
    #: How often an agent looks for runs whose agent is gone.
    rescue_s: Seconds = 5.0
    #: procrastinate's own heartbeat, and when it counts as over.
    heartbeat_s: Seconds = 5.0
    heartbeat_over_s: Seconds = 15.0
    #: A child that is asked to stop has so long to write its checkpoint.
    grace_s: Seconds = 15.0
    #: A run that lost so many attempts fails.
    max_attempts: int = Field(5, ge=1)

    #: Codes that are sent to be measured: bytes of one request, and how long it may take.
    measure_bytes: int = Field(256 * 1024**2, ge=1)
    measure_s: Seconds = 120.0
    #: How many requests are measured at once; others wait. So it is with figures of studies, which
    #: may take as long.
    measure_at_once: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _strangers_cannot_reach_the_api(self) -> Self:
        if not (self.api_allow_remote or is_loopback(self.api_host)):
            raise ValueError(
                f"POLAR_API_HOST is {self.api_host}, and the API has no tokens yet; allowed: "
                "127.0.0.1, ::1, localhost, or any with POLAR_API_ALLOW_REMOTE=true"
            )
        return self

    @model_validator(mode="after")
    def _a_lease_outlasts_some_renewals(self) -> Self:
        if self.lease_s < 4 * self.renew_s:
            raise ValueError(
                f"POLAR_LEASE_S is {self.lease_s} with a POLAR_RENEW_S of {self.renew_s}; "
                f"allowed: at least 4 times that, {4 * self.renew_s}, or a POLAR_RENEW_S of at "
                f"most {self.lease_s / 4}"
            )
        return self

    @property
    def optuna_sqlalchemy_url(self) -> str:
        """Optuna's database for SQLAlchemy, with the psycopg driver."""
        if self.optuna_url is None:
            return sqlalchemy_url(self.database_url.get_secret_value(), "optuna")
        return sqlalchemy_url(self.optuna_url.get_secret_value())

    @property
    def sqlalchemy_url(self) -> str:
        """The database for SQLAlchemy, with the psycopg driver."""
        return sqlalchemy_url(self.database_url.get_secret_value())

    @classmethod
    def read(cls, **known: Any) -> Self:  # noqa: ANN401
        """The settings of this process's environment.

        Args:
            known: Fields that are not read there.

        Raises:
            InvalidInput: some are missing or wrong, all of which are named on one line.
        """
        try:
            return cls(**known)
        except ValidationError as error:
            faults = find_faults(error.errors(), cls.model_json_schema())
        # This is not raised in the handler, because pydantic's error knows the password.
        reasons = "; ".join(_in_words(fault) for fault in faults)
        raise InvalidInput(f"the environment has wrong settings: {reasons}")

    @classmethod
    def read_or_exit(cls) -> Self:
        """The settings of this process's environment; wrong ones end it."""
        try:
            return cls.read()
        except InvalidInput as error:
            sys.exit(f"error: {error}")


def _in_words(fault: Fault) -> str:
    if not fault.pointer:  # of several settings together
        return fault.message
    name = f"POLAR_{fault.pointer.removeprefix('/')}".upper()
    match fault.type:
        case "missing":
            return f"{name} is not set"
        case "value_error":
            return f"{name}: {fault.message}"
    return f"{name} is {fault.value}; allowed: {fault.allowed}"


def worker_name() -> str:
    """A name that no other live worker has."""
    return f"{socket.gethostname()}:{os.getpid()}"
