"""What all processes that we start have in common: their environment and their end."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from polar_latents import is_installation

#: Variables that keep numerical libraries to one thread, because more threads change sums. MKL and
#: OpenBLAS have their own variables, which override OpenMP's. The allocator of pyarrow would start
#: a thread, too, which a process that forks must not have.
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

#: The variable by which processes count their requests together, in the files of a folder.
TOGETHER = "PROMETHEUS_MULTIPROC_DIR"

#: The nice value of this process's session.
AUTOGROUP = Path("/proc/self/autogroup")

#: Prefixes of variables that users set for other programs and that would affect ours.
FAMILIES = (
    "PG",  # read by libpq: addresses, passwords, encryption, time zone, encoding
    "PSYCOPG_",
    "MLFLOW_",
    "_MLFLOW_",
    "DATABRICKS_",  # in Databricks notebooks MLflow stores its data elsewhere
    "OTEL_",  # tells MLflow where to send traces of itself
    "PROMETHEUS_",
    "UVICORN_",
    "FLASK_",
    "OPTUNA_",
    "OPENSSL_",
    "PYTHON",
    # These affect threads and the order of their sums, even where ONE_THREAD is not set.
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
)
#: Single variables that users set for other programs and that would affect ours.
FOREIGN = {
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "MPLBACKEND",  # notebooks set it; an unknown backend makes the import of matplotlib fail
    "MATPLOTLIBRC",
    "prometheus_multiproc_dir",
    # `polar up` sets these itself, for the parts of its own stack.
    "POLAR_SUPERUSER_URL",
    "POLAR_DATABASE_URL",
    "POLAR_OPTUNA_URL",
    "POLAR_ARTIFACTS",
    "POLAR_MLFLOW_URL",
    "POLAR_MLFLOW_TOKEN",
    "POLAR_DASHBOARD_URL",
    "POLAR_API_URL",
    "POLAR_API_HOST",
    "POLAR_API_PORT",
    "POLAR_API_FD",
    "POLAR_API_ALLOW_REMOTE",
    "POLAR_DASHBOARD_PORT",
    "POLAR_DASHBOARD_FD",
    "POLAR_URL",
    "POLAR_TOKEN",
}
#: Variables that are for the broker alone: the addresses that it tells, and its secret.
WEBHOOKS = ("POLAR_WEBHOOKS", "POLAR_WEBHOOK_SECRET")
#: Variables that are kept in spite of their prefix.
KEPT = {
    # These say how others may address our MLflow, for instance behind a protecting proxy.
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_SERVER_X_FRAME_OPTIONS",
    # These say where this interpreter is installed and what it writes.
    "PYTHONHOME",
    "PYTHONPLATLIBDIR",
    "PYTHONUSERBASE",
    "PYTHONNOUSERSITE",
    "PYTHONTZPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "PYTHONUNBUFFERED",
    "PYTHONFAULTHANDLER",
}

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def private(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that would lead our processes away from each other."""
    ours = {name: value for name, value in environment.items() if not _is_foreign(name)}
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    installations = [os.path.abspath(entry) for entry in entries if is_installation(entry)]
    if installations:
        ours["PYTHONPATH"] = os.pathsep.join(installations)
    return {**ours, "PYTHONUTF8": "1"}  # UTF-8 in every locale


def make_private() -> None:
    """Make the environment of this process private, and the files that it makes.

    The same holds for its children.
    """
    os.umask(0o077)
    ours = private(os.environ)
    for name in set(os.environ) - set(ours):
        del os.environ[name]  # takes effect at once for libpq, which is loaded in this process
    os.environ.update(ours)


def _is_foreign(name: str) -> bool:
    is_proxy = name.lower().endswith("_proxy")
    is_foreign = name in FOREIGN or name.startswith(FAMILIES) or is_proxy or _is_password(name)
    return name not in KEPT and is_foreign


def _is_password(name: str) -> bool:
    """Whether a role of the database has its password there (`service.storage.roles`)."""
    return name.startswith("POLAR_") and name.endswith("_PASSWORD")


def die_with_parent(
    signal_number: signal.Signals, *, parent: int | None = None
) -> Callable[[], None]:
    """A function with which a child asks the kernel for a signal when its parent's thread ends.

    A `preexec_fn`, for instance: a change of user would clear this setting, but `subprocess`
    changes the user before it calls the function. Elsewhere than on Linux nothing is set, and a
    killed parent leaves its children.

    Args:
        signal_number: The signal that the child gets.
        parent: The process that is the child's parent by then, by default this one.
    """
    if sys.platform != "linux":
        return lambda: None
    expected = parent or os.getpid()
    libc = ctypes.CDLL(None)  # loaded before the fork, because it is not safe afterwards

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != expected:  # the parent died before the setting was made
            os._exit(1)

    return prepare


def be_nice(niceness: int) -> None:
    """Give this process, which needs a session of its own, a lower priority.

    Where Linux has autogroups it divides the time of the processors among sessions first, whatever
    the nice values of their processes, and each session has a nice value, too.
    """
    os.nice(niceness)
    while True:
        try:
            AUTOGROUP.write_text(str(niceness))
        except BlockingIOError:  # the kernel grants one such request in a tenth of a second
            time.sleep(0.1)
        except OSError:  # there are no autogroups
            return
        else:
            return


@contextmanager
def adopting() -> Iterator[None]:
    """Makes this process the parent of every descendant whose own parent ends meanwhile."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)


async def until_stopped(work: Coroutine[None, None, None]) -> None:
    """Do this work, which may be cut off anywhere, until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def taken(*names: str) -> dict[str, str]:
    """These variables, which this process and its children no longer have afterwards."""
    return {name: os.environ.pop(name) for name in names if name in os.environ}


def without_secrets() -> dict[str, str]:
    """The environment of this process without secrets, for its children."""
    tokens = {"POLAR_TOKEN", "POLAR_MLFLOW_TOKEN", *WEBHOOKS}
    addresses = {"POLAR_DATABASE_URL", "POLAR_OPTUNA_URL", "POLAR_SUPERUSER_URL"}
    secrets = tokens | addresses | {"PGPASSWORD", "PGPASSFILE"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in secrets and not _is_password(name)
    }
