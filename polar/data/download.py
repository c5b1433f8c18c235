"""Fetches datasets from mirrors, with retries; goes on where it stopped, and checks the end.

It uses the standard library, because Pooch, which is made for this, cannot resume a download.
"""

import gzip
import hashlib
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from io import BufferedIOBase, BufferedRandom
from pathlib import Path

from polar.data import catalogue
from polar.data.places import download_place, is_there
from polar.data.unfinished import locked, put_in_place
from polar.errors import DatasetMissing
from polar.files import unfinished
from polar.spec.sources import SourceFile

#: Called for every piece with the file, its bytes so far, and its size if that is known.
OnBytes = Callable[[Path, int, int | None], None]

#: How many times each mirror is asked.
TRIES = 4
#: Seconds before the second try; doubled before each further try.
FIRST_WAIT_S = 1.0
TIMEOUT_S = 30.0
PIECE = 1 << 18
#: Answers that may change by themselves, although HTTP counts them as faults of the client.
PASSING = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    HTTPStatus.TOO_MANY_REQUESTS,
)


class _Useless(Exception):
    """This mirror does not have the file."""


def fetch(name: str, data_dir: Path, progress: OnBytes | None = None) -> None:
    """Fetches a dataset into the data folder; what is there already, in any form, is left alone.

    Args:
        name: Name of a dataset; nothing is done for a dataset that is not downloaded.
        data_dir: Folder of datasets; it is made if it is not there.
        progress: Called for every piece.

    Raises:
        InvalidInput: there is no dataset of this name.
        DatasetMissing: a file could not be fetched or stored; what has come so far stays, and the
            next call goes on from there.
    """
    if not (downloads := catalogue.downloads(name)):
        return
    for published, there in zip(downloads, catalogue.files(name, data_dir), strict=True):
        path = download_place(published, data_dir)
        try:
            if not is_there(there):
                _fetch_file(name, published, path, progress)
        except OSError as error:
            reason = error.strerror or error
            raise DatasetMissing(f"dataset {name}: cannot store {path}: {reason}") from error


def checksum_like(expected: str, file: BufferedIOBase) -> str:
    """The checksum of a whole file, of the same kind as the expected one."""
    kind = expected.partition(":")[0]
    file.seek(0)
    return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def _fetch_file(name: str, published: SourceFile, path: Path, progress: OnBytes | None) -> None:
    packed = path.with_name(f"{path.name}.gz") if published.unpacked else path
    part = unfinished(packed)
    with locked(part) as file:
        if path.exists():  # another process has fetched it meanwhile
            part.unlink()
            return
        _fill(name, published, file, path, progress)
        if not published.unpacked:
            put_in_place(file, part, path)
            return
        file.seek(0)
        with gzip.open(file) as content, locked(unfinished(path)) as unpacked:
            unpacked.truncate(0)
            shutil.copyfileobj(content, unpacked)
            put_in_place(unpacked, unfinished(path), path)
        part.unlink()


def _fill(
    name: str, published: SourceFile, file: BufferedRandom, path: Path, progress: OnBytes | None
) -> None:
    """Fetches until the file is complete and has the published checksum."""
    mirrors, reasons = list(published.urls), dict[str, str]()
    for attempt in range(TRIES):
        for url in tuple(mirrors):
            try:
                return _go_on(url, published.checksum, file, path, progress)
            except _Useless as error:
                mirrors.remove(url)
                reasons[url] = str(error)
            except urllib.error.URLError as error:
                reasons[url] = str(error.reason)
            except (HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
                reasons[url] = str(error) or repr(error)
        if not mirrors:
            break
        if attempt < TRIES - 1:
            time.sleep(FIRST_WAIT_S * 2**attempt)
    told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
    raise DatasetMissing(
        f"dataset {name}: {path.name} could not be fetched: {told}. Try again later, which goes "
        f"on where this stopped, or put the file at {path} yourself"
    )


def _go_on(
    url: str, checksum: str, file: BufferedRandom, path: Path, progress: OnBytes | None
) -> None:
    """Fetches the rest of a file, or all of it if the host cannot skip the beginning."""
    begun = file.seek(0, os.SEEK_END)
    if begun and checksum_like(checksum, file) == checksum:
        return  # complete, but the process ended before it moved the file
    headers = {"User-Agent": "polar-latents"} | ({"Range": f"bytes={begun}-"} if begun else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                begun = 0
            _append(answer, file, begun, path, progress)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # it is longer than the file
            file.truncate(0)
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in PASSING:
            raise _Useless(f"{error.code} {error.reason}") from error
        raise ConnectionError(f"{error.code} {error.reason}") from error
    found = checksum_like(checksum, file)
    if found != checksum:
        file.truncate(0)
        wrong = f"it sent another file, {found}; expected {checksum}"
        # the beginning may have come from another file
        raise ConnectionError(wrong) if begun else _Useless(wrong)


def _append(
    answer: HTTPResponse, file: BufferedRandom, begun: int, path: Path, progress: OnBytes | None
) -> None:
    length = answer.headers.get("Content-Length")
    total = None if length is None else begun + int(length)
    free = shutil.disk_usage(path.parent).free
    if total is not None and total - begun > free:
        raise OSError(f"{total - begun:,} bytes are missing, the disk has {free:,} left")
    file.seek(begun)
    file.truncate()
    there = begun
    while piece := answer.read(PIECE):
        file.write(piece)
        there += len(piece)
        if progress:
            progress(path, there, total)
    file.flush()
    if total is not None and there < total:
        raise ConnectionError(f"the connection ended after {there:,} of {total:,} bytes")
