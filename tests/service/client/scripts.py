"""A server that answers the client's requests by a script."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

#: Answers a request: status and body, or nothing at all to break the connection.
Answer = Callable[[BaseHTTPRequestHandler], None]


class Script:
    """A server that answers each request by its path, or else with the next of its lines."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.answers: list[Answer] = []
        self.by_path: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []


@contextmanager
def served_script() -> Iterator[Script]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.requests.append((self.command, self.path, headers))
            self.rfile.read(int(headers.get("content-length", 0)))
            answer = script.by_path.get(self.path) or script.answers.pop(0)
            answer(self)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script = Script(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield script
        server.shutdown()
        thread.join()


def no_answer(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def answering(status: int, body: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def streaming(*events: str, is_cut: bool = False) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for event in events:
            handler.wfile.write(b"%x\r\n%s\n\n\r\n" % (len(event) + 2, event.encode()))
        handler.close_connection = is_cut
        if not is_cut:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def problem(status: int) -> str:
    fields = {"type": "urn:polar:problem:x", "title": "X", "detail": "because", "instance": "/"}
    return json.dumps({**fields, "status": status, "request_id": "1", "errors": []})
