"""A PostgreSQL 18 that speaks TLS, which the wheel of the local stack does not: the binaries that
Java's tests use (github.com/zonkyio/embedded-postgres-binaries), from Maven Central.
"""

from __future__ import annotations

import platform
import shutil
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors.local.engines.kafka_jars import Jar, kept

_COORDINATE = "io.zonky.test.postgres:embedded-postgres-binaries-linux-{}:18.0.0"
_JARS = {
    "x86_64": Jar(
        "5dbbdf754ddb3ae2169b7864de4b7c294ec6add47999331a64f1c6c85e862a0c",
        _COORDINATE.format("amd64"),
    ),
    "aarch64": Jar(
        "d1422a51547b9ef34e3c371d0709892f37bbc47ef478e25c4dcc6d8d45b14c4c",
        _COORDINATE.format("arm64v8"),
    ),
}


def programs() -> Path:
    """The folder with `postgres` and `initdb`; fetched (15 MB) and unpacked once per user."""
    [jar] = kept([_JARS[platform.machine()]], "postgres")
    home = jar.with_suffix("")
    if not home.exists():
        with TemporaryDirectory(dir=jar.parent) as scratch:
            draft = Path(scratch) / "unpacked"
            _unpack(jar, draft)
            try:
                draft.rename(home)
            except OSError:  # another process was faster
                shutil.rmtree(draft)
    return home / "bin"


def _unpack(jar: Path, folder: Path) -> None:
    with zipfile.ZipFile(jar) as outer:
        [inner] = (name for name in outer.namelist() if name.endswith(".txz"))
        with outer.open(inner) as packed, tarfile.open(fileobj=packed, mode="r:xz") as archive:
            archive.extractall(folder, filter="data")
