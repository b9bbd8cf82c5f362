"""An identity provider on a real port: it signs tokens with real keys and publishes the public ones
as a JWKS document.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.acme.example/", "campaigns"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass
class Issuer:
    """`keys` by key id are published; `status` other than 200 = out of order. `fetches` counts
    requests.
    """

    url: str = ""
    keys: dict[str, tuple[str, PrivateKey]] = field(default_factory=dict)
    others: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    fetches: int = 0

    def document(self) -> bytes:
        return json.dumps(
            {"keys": [*self.others, *(_public(kid, *key) for kid, key in self.keys.items())]}
        ).encode()

    def token(
        self,
        kid: str,
        *,
        headers: dict[str, Any] | None = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """A good token of a viewer of acme, changed by `claims`, signed with the published key."""
        algorithm, key = self.keys[kid]
        return jwt.encode(
            claims_of(without, **claims), key, algorithm, {"kid": kid, **(headers or {})}
        )


def claims_of(without: tuple[str, ...] = (), **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ana",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "tenant_id": "acme",
        "role": "viewer",
    }
    return {name: value for name, value in {**good, **changed}.items() if name not in without}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token as a forger writes it."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def new_key(algorithm: str) -> tuple[str, PrivateKey]:
    match algorithm:
        case "RS256":
            return algorithm, rsa.generate_private_key(65537, 2048)
        case "ES256":
            return algorithm, ec.generate_private_key(ec.SECP256R1())
        case _:
            return algorithm, ed25519.Ed25519PrivateKey.generate()


def _public(kid: str, algorithm: str, key: PrivateKey) -> dict[str, Any]:
    match key:
        case rsa.RSAPrivateKey():
            shown = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            shown = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            shown = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**shown, "kid": kid, "alg": algorithm, "use": "sig"}


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer with one key of every algorithm that is accepted: its key id is the algorithm's
    name.
    """
    issuer = Issuer(
        keys={algorithm: new_key(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
    )

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.fetches += 1
            body = issuer.document()
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    issuer.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
