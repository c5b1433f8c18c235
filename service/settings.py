"""All settings that come from the environment; processes read them once and pass them on."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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
from service.tokens import ALLOWED, is_token

#: Longest wait, in seconds; with longer waits the timers of some processes overflow.
WEEK_S = 7 * 24 * 3600.0
#: A hundred years: Postgres cannot go back much further than that.
MOST_DAYS = 36_500.0


def _readable_by_libpq(address: SecretStr) -> SecretStr:
    return SecretStr(libpq_url(address.get_secret_value()))


def _named(folder: str | Path) -> str | Path:
    if folder == "":  # as a path it would mean the current folder
        raise ValueError("this is empty; allowed: the path of a folder")
    return folder


def _hard_to_guess(token: SecretStr) -> SecretStr:
    if not is_token(token.get_secret_value()):
        raise ValueError(
            f"this is no token; allowed: {ALLOWED}, such as from `openssl rand -hex 32`"
        )
    return token


def _fit_for_a_header(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not (text.strip() and text.isascii() and text.isprintable()):
        raise ValueError("this is no bearer token; allowed: printable ASCII characters")
    return token


def _given(secret: SecretStr | str | None) -> SecretStr | str | None:
    return secret or None  # compose files pass on what is not set as an empty text


def _http_urls(addresses: str) -> str:
    return " ".join(http_url(address) for address in addresses.split())


DatabaseUrl = Annotated[SecretStr, AfterValidator(_readable_by_libpq)]
Folder = Annotated[Path, BeforeValidator(_named), AfterValidator(in_users_home)]
ServerUrl = Annotated[str, AfterValidator(http_url)]
OwnToken = Annotated[SecretStr, AfterValidator(_hard_to_guess)]
SentToken = Annotated[SecretStr, AfterValidator(_fit_for_a_header)]
Seconds = Annotated[float, Field(gt=0, le=WEEK_S)]


class DoorSettings(BaseSettings):
    """What a server needs to know of those who ask it."""

    model_config = SettingsConfigDict(env_prefix="POLAR_", frozen=True)

    #: Token of the owner, who may do everything and makes the tokens of others. The servers of a
    #: stack know it; commands and clients send it to a service that POLAR_URL names.
    token: OwnToken | None = None
    #: Address at which MLflow and the dashboard ask the API who holds a token.
    api_url: ServerUrl = "http://127.0.0.1:8650"
    #: Identity of the home, which the API's health answer repeats; `polar up` sets it.
    home_id: str | None = None

    @classmethod
    def read(cls, **known: Any) -> Self:  # noqa: ANN401
        """Read the settings from this process's environment.

        Args:
            known: Values of fields that are not to be read from the environment.

        Raises:
            InvalidInput: settings are missing or wrong; the message names all of them in one line.
        """
        try:
            return cls(**known)
        except ValidationError as error:
            faults = find_faults(error.errors(), cls.model_json_schema())
        # Raised outside the handler, because pydantic's error contains the password.
        reasons = "; ".join(_in_words(fault) for fault in faults)
        raise InvalidInput(f"the environment has wrong settings: {reasons}")

    @classmethod
    def read_or_exit(cls) -> Self:
        """Read the settings from this process's environment, or exit if they are wrong."""
        try:
            return cls.read()
        except InvalidInput as error:
            sys.exit(f"error: {error}")


class Settings(DoorSettings):
    """Settings of a process, read from environment variables: `home` from `POLAR_HOME`, etc."""

    #: Folder for the state of `polar up`: database, logs, `up.json`.
    home: Path = DEFAULT_HOME
    #: Address of our database, `postgresql://user:password@host:port/app`; it has no default
    #: because it is secret.
    database_url: DatabaseUrl
    #: Address of Optuna's database; by default the database `optuna` on the same server, with the
    #: same role, which works where all programs share one.
    optuna_url: DatabaseUrl | None = None
    #: Folder for checkpoints and results, the same for all machines.
    artifacts: Folder
    #: Address at which the tracker and the API's links reach MLflow.
    mlflow_url: ServerUrl
    #: What the tracker shows MLflow as a bearer token: with Polar's own, one of the scope `admin`,
    #: because what was deleted loses its files there for good.
    mlflow_token: SentToken | None = None
    #: Address at which the API's links reach optuna-dashboard.
    dashboard_url: ServerUrl = "http://127.0.0.1:8651"
    #: Address on which the API and the dashboard listen; loopback only, because their HTTP is not
    #: encrypted, and whoever reads along has the tokens.
    api_host: str = "127.0.0.1"
    api_port: int = Field(8650, ge=1, le=65535)
    #: File descriptor of an already listening socket, if the API inherits one from its parent.
    api_fd: int | None = Field(None, ge=3)
    dashboard_port: int = Field(8651, ge=1, le=65535)
    #: File descriptor of an already listening socket, if the dashboard inherits one.
    dashboard_fd: int | None = Field(None, ge=3)
    #: Allow addresses other than loopback, for where something else encrypts, or keeps those out
    #: who would read along, such as a container. This needs POLAR_TOKEN.
    api_allow_remote: bool = False
    #: Host names by which requests may address the API and the dashboard, separated by blanks. All
    #: IP addresses, this machine's own name, `localhost` and POLAR_API_HOST are always allowed,
    #: even where they can be reached from other machines; every other name is refused.
    api_hosts: str = ""

    #: Form of what processes log: lines for people, or an object of JSON a line, with the ids of
    #: run, study and request where they are known. `service.logs` reads the variable itself,
    #: because processes log before they have settings; here its value is only checked.
    log_format: Literal["text", "json"] = "text"

    #: Number of connections to the database that the API keeps; at peaks it has twice as many.
    api_connections: int = Field(5, ge=1, le=1000)
    #: Number of processes of the API, which share one port. Each has its own connections, and
    #: measures as many requests at once as POLAR_MEASURE_AT_ONCE says.
    api_workers: int = Field(1, ge=1, le=16)

    #: How long a run stays leased after each renewal.
    lease_s: Seconds = 30.0
    #: How often an agent renews a lease.
    renew_s: Seconds = 5.0
    #: How often an agent looks for runs whose agent has disappeared.
    rescue_s: Seconds = 10.0
    #: How often procrastinate's workers report that they live.
    heartbeat_s: Seconds = 5.0
    #: How long after its last report such a worker counts as dead.
    heartbeat_over_s: Seconds = 15.0
    #: How long a child that is asked to stop has to write its checkpoint.
    grace_s: Seconds = 15.0
    #: The nice value of trainings; `polar up` gives those on the CPU 10, so that whoever reads
    #: meanwhile is answered. A training costs this nothing while nothing else wants its core.
    training_niceness: int = Field(0, ge=0, le=19)
    #: Number of lost attempts at which a run fails.
    max_attempts: int = Field(5, ge=1)
    #: How long a child may say nothing before its attempt counts as lost: the longer of
    #: `silence_s`, within which it starts and evaluates, and `silence_times` times the longest
    #: interval between two of its reports so far, or two hours more than this interval if that is
    #: shorter.
    silence_s: Seconds = 1800.0
    silence_times: float = Field(20.0, ge=1, le=1e6)
    #: Pause before a run is tried again whose machine failed (folder, disk, device, memory); it
    #: doubles with every fault of the last hour, up to 600 s.
    fault_pause_s: Seconds = 5.0

    #: Whether agents watch what each run takes of its machine: processor, memory and GPU.
    system_metrics: bool = True

    #: Days after the end of a run for which its weights are kept: its model, and its last state,
    #: from which more steps go on; without a number for ever. Its numbers, tables and figures are
    #: always kept, and so is what MLflow has.
    keep_weights_days: float | None = Field(None, gt=0, le=MOST_DAYS)

    #: Largest request with codes to be measured, in bytes.
    measure_bytes: int = Field(256 * 1024**2, ge=1)
    #: How long the measurement of a request may take.
    measure_s: Seconds = 120.0
    #: How many requests are measured at once, while others wait. The same holds for the figures of
    #: studies, which may take as long.
    measure_at_once: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _strangers_cannot_reach_the_api(self) -> Self:
        if not (self.api_allow_remote or is_loopback(self.api_host)):
            raise ValueError(
                f"POLAR_API_HOST is {self.api_host}, where tokens cross the network unencrypted; "
                "allowed: 127.0.0.1, ::1, localhost, or any address with "
                "POLAR_API_ALLOW_REMOTE=true"
            )
        if self.api_allow_remote and self.token is None:
            raise ValueError(
                "POLAR_API_ALLOW_REMOTE is true, and POLAR_TOKEN is not set; allowed: with a "
                f"token, which is {ALLOWED}, such as from `openssl rand -hex 32`"
            )
        return self

    #: Addresses that are told of every end of a run or a study, separated by blanks, and the
    #: secret with which the messages are signed (`docs/webhooks.md`).
    webhooks: Annotated[str, AfterValidator(_http_urls)] = ""
    webhook_secret: Annotated[OwnToken | None, BeforeValidator(_given)] = None
    #: Allow addresses of this machine and of private networks.
    webhooks_allow_private: bool = False

    @model_validator(mode="after")
    def _messages_to_webhooks_are_signed(self) -> Self:
        if self.webhooks and self.webhook_secret is None:
            raise ValueError(
                "POLAR_WEBHOOKS is set, and POLAR_WEBHOOK_SECRET is not; allowed: with a secret, "
                f"which is {ALLOWED}, such as from `openssl rand -hex 32`"
            )
        return self

    @model_validator(mode="after")
    def _a_lease_outlasts_some_renewals(self) -> Self:
        if self.lease_s < 4 * self.renew_s:
            raise ValueError(
                f"POLAR_LEASE_S is {self.lease_s} while POLAR_RENEW_S is {self.renew_s}; allowed: "
                f"a POLAR_LEASE_S of at least {4 * self.renew_s}, which is 4 times POLAR_RENEW_S, "
                f"or a POLAR_RENEW_S of at most {self.lease_s / 4}"
            )
        return self

    @property
    def optuna_sqlalchemy_url(self) -> str:
        """Address of Optuna's database for SQLAlchemy, with the psycopg driver."""
        if self.optuna_url is None:
            return sqlalchemy_url(self.database_url.get_secret_value(), "optuna")
        return sqlalchemy_url(self.optuna_url.get_secret_value())

    @property
    def sqlalchemy_url(self) -> str:
        """Address of our database for SQLAlchemy, with the psycopg driver."""
        return sqlalchemy_url(self.database_url.get_secret_value())


def _in_words(fault: Fault) -> str:
    if not fault.pointer:  # the fault concerns several settings together
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
