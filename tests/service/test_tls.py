"""A database on another machine is reached by TLS, and by nobody who only claims to be it.

The embedded server was built without TLS, so a proxy of the test speaks it in front of it.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from service import queue
from service.database_urls import libpq_url
from service.settings import Settings
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.migrate import upgrade

#: Answers clients of Postgres that ask for TLS, and passes on what they say.
PROXY = """
import asyncio, ssl, struct, sys
certificate, key, port = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
async def pass_on(reader, writer):
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()
async def serve(reader, writer):
    assert await reader.readexactly(8) == struct.pack("!II", 8, 80877103), "no wish for TLS"
    writer.write(b"S")
    await writer.start_tls(context)
    inner, outer = await asyncio.open_connection("127.0.0.1", int(port))
    await asyncio.gather(pass_on(reader, outer), pass_on(inner, writer), return_exceptions=True)
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Certified:
    """A server of Postgres with a certificate for `localhost`."""

    url: str
    #: The certificate of who has signed, which is the server itself.
    root: Path

    def at(self, host: str, root: Path) -> str:
        """Its address, for a client that trusts this root alone."""
        url = self.url.replace("@localhost:", f"@{host}:")
        return f"{url}?sslmode=verify-full&sslrootcert={root}"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    certificate, key = folder / "root.crt", folder / "server.key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*new, *subject, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def certified(database_url: str, tmp_path: Path) -> Iterator[Certified]:
    certificate, key = make_certificate(tmp_path / "server")
    address = urlsplit(database_url)
    command = [sys.executable, "-c", PROXY, str(certificate), str(key), str(address.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        port = int(proxy.stdout.readline())
        login = f"{address.username}:{address.password}"
        yield Certified(f"postgresql://{login}@localhost:{port}{address.path}", certificate)
        proxy.kill()


async def test_all_that_opens_the_database_reaches_it_by_tls(
    certified: Certified, tmp_path: Path
) -> None:
    url = certified.at("localhost", certified.root)
    settings = Settings(database_url=SecretStr(url), artifacts=tmp_path, mlflow_url="")

    connection = await psycopg.AsyncConnection.connect(libpq_url(url))
    is_encrypted = [connection.pgconn.ssl_in_use]
    await connection.close()
    for is_impatient in (False, True):
        database = Database(settings.sqlalchemy_url, is_impatient=is_impatient)
        async with database.transaction() as session:
            await session.execute(text("select 1 from app.runs"))
            raw = await (await session.connection()).get_raw_connection()
            assert raw.driver_connection
            is_encrypted.append(raw.driver_connection.pgconn.ssl_in_use)
        await database.close()
    app = queue.queue_app(settings)
    async with app.open_async():
        assert await app.check_connection_async()
    await asyncio.to_thread(upgrade, url)

    assert is_encrypted == [True] * 3


@pytest.mark.parametrize(("host", "knows_the_root"), [("127.0.0.1", True), ("localhost", False)])
async def test_a_server_of_another_name_or_of_an_unknown_signer_is_not_spoken_to(
    host: str, knows_the_root: bool, certified: Certified, tmp_path: Path
) -> None:
    root = certified.root if knows_the_root else make_certificate(tmp_path / "other")[0]
    url = certified.at(host, root)
    settings = Settings(database_url=SecretStr(url), artifacts=tmp_path, mlflow_url="")

    with pytest.raises(psycopg.OperationalError, match=r"certificate"):
        await psycopg.AsyncConnection.connect(libpq_url(url))
    database = Database(settings.sqlalchemy_url)
    with pytest.raises(DatabaseAway, match="certificate"):
        async with database.transaction() as session:
            await session.execute(text("select 1"))
    await database.close()
