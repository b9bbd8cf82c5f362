"""Settings for a Kafka that asks for something, and a token endpoint."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

from streams.settings import Settings


def with_kafka(servers: str = "127.0.0.1:1", **kafka: str) -> Settings:
    """Settings with `kafka_*` as given; PostgreSQL and NATS are not there."""
    fields = {f"kafka_{name}": value for name, value in kafka.items()}
    nowhere = {"postgres": "postgresql://nowhere", "nats": "nats://nowhere"}
    return Settings.model_validate(
        {"kafka": servers, **nowhere, "message_keys": "00" * 32, **fields}
    )


def unsigned_token(user: str, life: float = 300) -> str:
    """A token as Kafka's unsecured validator takes it (RFC 7515, appendix A.5)."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": user, "iat": now, "exp": now + life})
    coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(each.rstrip("=") for each in coded) + "."


class TokenEndpoint:
    """Gives tokens to the client `campaigns` whose secret is `hunter2`; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.expires_in: Any = 300
        self.status, self.url = 200, ""

    @contextmanager
    def served(self) -> Iterator[TokenEndpoint]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                said = endpoint.answer(self.headers.get("Authorization", ""), form)
                body = json.dumps(said).encode()
                self.send_response(400 if "error" in said else endpoint.status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/token"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def answer(self, authorization: str, form: str) -> dict[str, Any]:
        self.asked.append({name: values[0] for name, values in parse_qs(form).items()})
        if authorization != "Basic " + base64.b64encode(b"campaigns:hunter2").decode():
            return {"error": "invalid_client"}
        token = unsigned_token("campaigns")
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}

    def settings(self, servers: str = "127.0.0.1:1", **kafka: str) -> Settings:
        """Settings that fetch their tokens here."""
        client = {"token_client": "campaigns", "token_secret": "hunter2"}
        oauth = {"security": "SASL_SSL", "mechanism": "OAUTHBEARER", "token_url": self.url}
        return with_kafka(servers, **(oauth | client | kafka))
