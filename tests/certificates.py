"""Certificates of an authority that exists for one test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, its private key, and one file with both; all PEM, the keys in
    PKCS #8, which is all that Java reads.
    """

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates into `folder`; `file` is its own, for whoever shall trust it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._authority = folder, trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, password: str = "") -> Pair:
        """For hosts, addresses or a user, to be server and client; with a password the key alone is
        encrypted.
        """
        issued, stem = self._authority.issue_cert(*names), names[0].replace("@", "-")
        chain = b"".join(it.bytes() for it in issued.cert_chain_pems)
        made = Pair(*(self._folder / f"{stem}{end}" for end in (".crt", ".key", ".pem")))
        key = issued.private_key_pem.bytes()
        made.certificate.write_bytes(chain)
        made.key.write_bytes(_pkcs8(key, password))
        made.both.write_bytes(_pkcs8(key, "") + chain)
        for file in (made.key, made.both):
            file.chmod(0o600)
        return made


def _pkcs8(pem: bytes, password: str) -> bytes:
    protection: KeySerializationEncryption = (
        BestAvailableEncryption(password.encode()) if password else NoEncryption()
    )
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
