"""A network between processes and their database, which tests can cut, with and without a word."""

import asyncio
import socket
import struct
import threading
from typing import Self
from urllib.parse import urlsplit

#: Has the kernel reset a connection when it is closed.
RESET = struct.pack("ii", 1, 0)


class Network:
    """Carries connections to a server, in a thread of its own, until it is left."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._is_up = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The address of the server, by way of this network."""
        assert self._server
        user, _, _ = self._url.netloc.rpartition("@")
        port = self._server.sockets[0].getsockname()[1]
        return self._url._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()

    def cut(self) -> None:
        """Carry nothing any more, and say so to nobody; new connections get no answer either."""
        self._loop.call_soon_threadsafe(self._is_up.clear)

    def mend(self) -> None:
        """Go on, with all that was sent meanwhile."""
        self._loop.call_soon_threadsafe(self._is_up.set)

    def reset(self) -> None:
        """Reset all connections; new ones work unless the network is cut."""
        self._do(self._reset())

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)  # type: ignore[arg-type]

    async def _begin(self) -> None:
        self._is_up.set()
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._is_up.wait()
        server = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._writers.add(server[1])
        await asyncio.gather(self._carry(reader, server[1]), self._carry(server[0], writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                await self._is_up.wait()
                writer.write(data)
                await writer.drain()
            await self._is_up.wait()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self._writers.clear()

    async def _end(self) -> None:
        assert self._server
        self._server.close()
        await self._reset()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
