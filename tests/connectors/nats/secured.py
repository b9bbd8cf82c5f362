"""The configuration of a local NATS that asks for TLS or an identity, and nkeys and `.creds` files:
`Nats(folder, port, OPEN, configuration=tls(authority) + password("bridge", "secret"))`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from pathlib import Path

import nkeys

from tests.certificates import Authority


def tls(
    authority: Authority, host: str = "127.0.0.1", *, asks_for_certificate: bool = False
) -> str:
    """The server speaks TLS only, and may ask the client for a certificate, too."""
    pair = authority.issue(host)
    return (
        f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}", '
        f'ca_file: "{authority.file}", verify: {str(asks_for_certificate).lower()} }}\n'
    )


def password(user: str, secret: str) -> str:
    return f'authorization {{ user: "{user}", password: "{secret}" }}\n'


def token(secret: str) -> str:
    return f'authorization {{ token: "{secret}" }}\n'


def nkey(public: str) -> str:
    return f"authorization {{ users: [ {{ nkey: {public} }} ] }}\n"


def make_user(folder: Path) -> tuple[Path, str]:
    """A file with the seed of a new user's nkey, and its public key."""
    file, (seed, pair) = folder / f"{secrets.token_hex(4)}.nk", _pair(nkeys.PREFIX_BYTE_USER)
    file.write_bytes(seed + b"\n")
    return file, pair.public_key.decode()


def operator(folder: Path) -> tuple[str, Path]:
    """The configuration of a server with an operator's accounts, and a user's `.creds` file."""
    _, signer = _pair(nkeys.PREFIX_BYTE_OPERATOR)
    _, system = _pair(nkeys.PREFIX_BYTE_ACCOUNT)
    _, account = _pair(nkeys.PREFIX_BYTE_ACCOUNT)
    seed, user = _pair(nkeys.PREFIX_BYTE_USER)
    unlimited = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "imports": -1, "exports": -1}
    unlimited |= {"wildcards": True, "leaf": -1, "mem_storage": -1, "disk_storage": -1}
    unlimited |= {"streams": -1, "consumer": -1}
    accounts = {
        _public(system): _jwt(signer, system, "SYS", {"type": "account", "version": 2}),
        _public(account): _jwt(
            signer, account, "APP", {"type": "account", "version": 2, "limits": unlimited}
        ),
    }
    preloaded = "\n".join(f"  {name}: {jwt}" for name, jwt in accounts.items())
    configuration = (
        f"operator: {_jwt(signer, signer, 'operator', {'type': 'operator', 'version': 2})}\n"
        f"system_account: {_public(system)}\nresolver: MEMORY\n"
        f"resolver_preload {{\n{preloaded}\n}}\n"
    )
    claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
    file = folder / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{_jwt(account, user, 'bridge', claims)}\n"
        "------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return configuration, file


def _pair(prefix: int) -> tuple[bytes, nkeys.KeyPair]:
    seed = bytes(nkeys.encode_seed(secrets.token_bytes(32), prefix))
    return seed, nkeys.from_seed(bytearray(seed))


def _public(pair: nkeys.KeyPair) -> str:
    return str(pair.public_key.decode())


def _jwt(
    issuer: nkeys.KeyPair, subject: nkeys.KeyPair, name: str, claims: dict[str, object]
) -> str:
    """A NATS JWT, version 2 (docs.nats.io, "JWTs in depth")."""
    body = {
        "iat": int(time.time()),
        "iss": _public(issuer),
        "name": name,
        "nats": claims,
        "sub": _public(subject),
    }
    digest = hashlib.new("sha512_256", json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_base64({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_base64(body)}"
    signature = base64.urlsafe_b64encode(issuer.sign(signed.encode())).decode().rstrip("=")
    return f"{signed}.{signature}"


def _base64(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
