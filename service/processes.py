"""What the processes that we start have in common: their environment and their end."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping

from polar_latents import is_installation

#: Threads change sums. MKL and OpenBLAS have variables of their own, which outweigh OpenMP's.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

#: Families of variables by which a user steers other programs, and which would steer ours.
FAMILIES = (
    "PG",  # libpq: addresses, passwords, encryption, time zone, encoding
    "PSYCOPG_",
    "MLFLOW_",
    "_MLFLOW_",
    "DATABRICKS_",  # in whose notebooks MLflow stores elsewhere
    "OTEL_",  # where MLflow would send traces of itself
    "PROMETHEUS_",
    "UVICORN_",
    "FLASK_",
    "OPTUNA_",
    "OPENSSL_",
    "PYTHON",
    # threads and the order of their sums, also where ONE_THREAD is not set
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
)
FOREIGN = {
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "MPLBACKEND",  # a notebook's; one that is unknown keeps matplotlib from being imported
    "MATPLOTLIBRC",
    "prometheus_multiproc_dir",
    # of the private stack, which says itself where its parts are
    "POLAR_DATABASE_URL",
    "POLAR_OPTUNA_URL",
    "POLAR_ARTIFACTS",
    "POLAR_MLFLOW_URL",
    "POLAR_DASHBOARD_URL",
    "POLAR_API_HOST",
    "POLAR_API_PORT",
    "POLAR_API_FD",
    "POLAR_API_ALLOW_REMOTE",
    "POLAR_DASHBOARD_PORT",
    "POLAR_DASHBOARD_FD",
    "POLAR_URL",
}
#: Members of the families that stay.
KEPT = {
    # how others may call our MLflow, as behind a server that keeps strangers out
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_SERVER_X_FRAME_OPTIONS",
    # where this very interpreter lies, and what it writes
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

_PR_SET_PDEATHSIG = 1


def private(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead our processes elsewhere than to each other."""
    ours = {name: value for name, value in environment.items() if not _is_foreign(name)}
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    installations = [os.path.abspath(entry) for entry in given if is_installation(entry)]
    if installations:
        ours["PYTHONPATH"] = os.pathsep.join(installations)
    return {**ours, "PYTHONUTF8": "1"}  # whatever the locale is


def make_private() -> None:
    """Makes the environment of this process private, and with it that of all it starts."""
    ours = private(os.environ)
    for name in set(os.environ) - set(ours):
        del os.environ[name]  # libpq, which is in this process too, sees it at once
    os.environ.update(ours)


def _is_foreign(name: str) -> bool:
    is_proxy = name.lower().endswith("_proxy")
    return name not in KEPT and (name in FOREIGN or name.startswith(FAMILIES) or is_proxy)


def die_with_parent(signal_number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the child gets the signal when the thread that spawned it ends.

    A change of user clears the setting; `subprocess` changes the user before it calls this.
    Linux only; elsewhere a parent that is killed leaves its children behind.
    """
    if sys.platform != "linux":
        return lambda: None
    parent = os.getpid()
    libc = ctypes.CDLL(None)  # loaded before the fork, where it is safe

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # it died before the setting was made
            os._exit(1)

    return prepare
