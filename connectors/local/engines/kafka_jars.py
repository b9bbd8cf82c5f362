"""Kafka's jars: fetched once per user from Maven Central, pinned by SHA-256, offline afterwards.

`python -m connectors.local.engines.kafka_jars` fetches what is missing; with `--lock` it
resolves the versions below anew and rewrites the list.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.local.engines.engine import EngineError

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
LOGGING = "org.slf4j:slf4j-simple:2.0.17"
_LIST = Path(__file__).with_name("kafka.sha256")
_TRIES = 3


@dataclass(frozen=True)
class Jar:
    """One line of the list."""

    sha256: str
    coordinate: str  # group:artifact:version

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def class_path(report: Callable[[int, int], None] = lambda done, total: None) -> str:
    """Returns Java's class path with every jar of the list, each verified; missing ones are fetched
    (44 MB, 5-20 s, once).

    `report` gets the number of jars that are there and of all. Several processes may call this at
    once. Raises `EngineError` when a jar cannot be fetched or differs from the pinned one.
    """
    return os.pathsep.join(map(str, kept(listed(), "kafka", report)))


def kept(
    jars: Sequence[Jar],
    name: str,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Returns the files of the jars, in the folder `name` of the cache, as `class_path` does."""
    folder = cache_folder() / name
    with _locked(folder):
        missing = [jar for jar in jars if not _is_intact(folder / jar.filename, jar.sha256)]
        if missing:
            _fetch(missing, folder, lambda done: report(len(jars) - len(missing) + done, len(jars)))
    return [folder / jar.filename for jar in jars]


def listed() -> list[Jar]:
    """Reads the committed list."""
    return [Jar(*line.split()) for line in _LIST.read_text().splitlines()]


def cache_folder() -> Path:
    """Returns CAMPAIGNS_CACHE, or `campaigns` in the user's cache folder."""
    given = os.environ.get("CAMPAIGNS_CACHE")
    return (
        Path(given).absolute()
        if given
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "campaigns"
    )


def _fetch(jars: list[Jar], folder: Path, report: Callable[[int], None]) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(8) as pool:
        for done, _ in enumerate(
            pool.map(lambda jar: _fetch_one(jar, folder, Path(scratch)), jars), start=1
        ):
            report(done)


def _fetch_one(jar: Jar, folder: Path, scratch: Path) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            found = _download(jar.coordinate, scratch / str(attempt))
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            if attempt == _TRIES:
                raise EngineError(
                    f"{jar.filename} could not be fetched from Maven Central"
                    f" ({type(error).__name__})"
                ) from error
            continue
        if _is_intact(found, jar.sha256):
            found.replace(folder / jar.filename)
            return
    raise EngineError(f"{jar.filename} from Maven Central is not the one pinned in {_LIST.name}")


def _download(coordinate: str, repository: Path) -> Path:
    from jgo.maven import (
        MavenContext,
        PythonResolver,
    )  # slow to import, and needed once per machine

    group, artifact, version = coordinate.split(":")
    context = MavenContext(repo_cache=repository, resolver=PythonResolver(), timeout=30)
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())


def _is_intact(jar: Path, sha256: str) -> bool:
    if not jar.exists():
        return False
    with jar.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time work on the cache."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise EngineError(
            f"the cache folder {folder} cannot be written: set CAMPAIGNS_CACHE to one that can"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lock_anew() -> None:
    import jgo

    with tempfile.TemporaryDirectory() as scratch:
        artifacts = {
            f"{it.groupId}:{it.artifactId}:{it.version}" for it in jgo.resolve(f"{KAFKA}+{LOGGING}")
        }
        digests = {
            it: hashlib.sha256(_download(it, Path(scratch)).read_bytes()).hexdigest()
            for it in sorted(artifacts)
        }
    _LIST.write_text("".join(f"{digest}  {coordinate}\n" for coordinate, digest in digests.items()))


def _report(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        sys.stderr.write(f"\rKafka: {done} of {total} jars" + ("\n" if done == total else ""))
        sys.stderr.flush()


if __name__ == "__main__":
    if "--lock" in sys.argv[1:]:
        _lock_anew()
    try:
        class_path(_report)
    except EngineError as failure:
        sys.exit(f"{failure}. Check the network and repeat; everything else is kept.")
