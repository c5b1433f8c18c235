"""What `polar doctor` finds on this machine: versions, disks, devices, and the stack."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from polar.errors import DatasetError, InvalidInput
from polar.folders import cache_dir
from service.addresses import reach
from service.cli.checks import Check, fault, ok, warning
from service.embedded.devices import count_cores, count_gpus

PACKAGES = ("polar-latents", "torch", "mlflow", "optuna", "procrastinate", "sqlalchemy")
#: Bytes below which a disk is about to be full: a run writes some megabytes, a dataset more.
LITTLE, TOO_LITTLE = 5 * 1024**3, 1024**3
#: Seconds between two clocks from which times in tables and charts mislead people. Leases do not
#: depend on it: they are in the time of the database alone.
APART_S = 5.0
ANSWERS_S = 10.0


def versions() -> Check:
    """The versions of this installation, which is also that of the agents it starts."""
    missing = []
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        says = f"{', '.join(missing)} not installed; {', '.join(found)}"
        return fault("versions", says, "pip install polar-latents")
    return ok("versions", ", ".join(found))


def disks(home: Path, artifacts: Path | None) -> Iterator[Check]:
    """Whether the folders are there, may be written to, and have room."""
    yield _disk("disk of home", home)
    if artifacts is not None:
        yield _disk("disk of artifacts", artifacts)
    try:
        yield _disk("disk of caches", cache_dir())
    except DatasetError as error:
        yield fault("disk of caches", str(error), "set POLAR_CACHE_DIR to a folder")


def _disk(name: str, folder: Path) -> Check:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if not os.access(there, os.W_OK):
        return fault(name, f"{there} cannot be written to by this user", "change its owner")
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return fault(name, f"{there}: {error.strerror}", "mount it again")
    says = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < TOO_LITTLE:
        return fault(name, says, "make room: `polar clean` says what can go")
    if free < LITTLE:
        return warning(name, says, "make room soon: `polar clean` says what can go")
    return ok(name, says)


def devices() -> Check:
    """Whether torch can use the GPUs that are there."""
    gpus = count_gpus()
    if not gpus:
        return ok("devices", f"cpu, {count_cores()} cores; no GPU")
    import torch

    if not torch.cuda.is_available():
        says = f"{gpus} GPUs are there, and torch {torch.__version__} can use none"
        return warning("devices", says, "install a torch with CUDA, or update the driver")
    return ok("devices", f"{torch.cuda.device_count()} GPUs, {torch.cuda.get_device_name(0)}")


def api(url: str | None) -> Iterator[Check]:
    """Whether the API answers and runs would be carried out, and what time it thinks it is."""
    if url is None:
        yield fault("api", "no stack runs in this home", "start it with `polar up`")
        return
    try:
        answer = httpx.get(f"{url}/api/v1/readyz", timeout=ANSWERS_S, **reach(url))
        content = answer.json()
        faults = content.get("faults", [])
        detail = content.get("detail")
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        says = f"{url} does not answer: {error or type(error).__name__}"
        yield fault("api", says, "see its log, log/api.log in the home; `polar up` restarts it")
        return
    if not answer.is_success:
        yield fault("api", f"{url} is not ready: {detail}", "mend what it says")
    elif faults:
        yield warning("api", f"{url} is ready; {'; '.join(faults)}", "mend these machines")
    else:
        yield ok("api", f"{url} is ready")
    if "date" in answer.headers:
        yield clock("clock of the API", parsedate_to_datetime(answer.headers["date"]), 1.0)


def code_of_api(url: str) -> str | None:
    """Which code the API runs; None where it does not say so."""
    try:
        answer = httpx.get(f"{url}/api/v1/healthz", timeout=ANSWERS_S, **reach(url))
        code: str | None = answer.json().get("code_version")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        return None
    return code


def clock(name: str, there: datetime, uncertain_s: float) -> Check:
    """How far a clock, read just now, is from this machine's."""
    apart_s = abs((datetime.now(UTC) - there).total_seconds())
    if apart_s > APART_S + uncertain_s:
        says = f"it is {apart_s:.0f} s away from this machine's"
        return warning(name, says, "let both machines keep their time, such as by NTP")
    return ok(name, f"within {APART_S:g} s of this machine's")


def stack_of(home: Path) -> tuple[str | None, str | None, Check | None]:
    """The addresses of the API and of MLflow of the stack in this home, or what is wrong there."""
    from service.homes import read_published

    try:
        content = read_published(home)
    except InvalidInput as error:
        return None, None, fault("home", str(error), "see above")
    if content is None:
        return None, None, None
    return content["api"], content["mlflow"], None
