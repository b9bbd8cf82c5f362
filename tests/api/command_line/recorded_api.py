"""An HTTP server on loopback that answers as the API would, word for word as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Answer:
    """What one path answers."""

    status: int
    content: bytes
    kind: str = "application/json"


def success(data: object) -> Answer:
    return Answer(200, json.dumps({"success": True, "data": data}).encode())


def refusal(status: int, detail: str) -> Answer:
    problem = json.dumps({"status": status, "detail": detail}).encode()
    return Answer(status, problem, "application/problem+json")


@dataclass
class RecordedApi:
    """`asked` has (method, path, key, body) of every request."""

    answers: dict[tuple[str, str], Answer]
    url: str = ""
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)


@contextmanager
def serving(answers: dict[tuple[str, str], Answer]) -> Iterator[RecordedApi]:
    """An API that knows these (method, path below /api/v1) and nothing else."""
    api = RecordedApi(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.removeprefix("/api/v1")
            key = self.headers.get("authorization", "")
            api.asked.append((self.command, path, key, json.loads(body) if body else None))
            found = api.answers.get((self.command, path), refusal(404, "There is nothing here."))
            self.send_response(found.status)
            self.send_header("Content-Type", found.kind)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_POST = answer  # noqa: N815 - names of the standard library

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: stderr belongs to the command."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
