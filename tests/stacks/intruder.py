"""Another user of the machine, who tries to get into a running local stack.

`python -m tests.stacks.intruder` takes the ports and the files of a stack on standard input,
becomes the user `nobody` where it may, and prints what it got.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  # what is imported later cannot be read by nobody
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import psycopg

from tests.stacks.local_stack import Stack

_NOBODY = 65_534
_WITHIN = 120.0  # seconds for an answer or the end of a connection
_GUESSES = (None, "", "postgres", "campaigns", "broker", "admin", "secret")
_USERS = ("postgres", "campaigns", "broker", "root", "nobody", "admin")
# Requests that a broker answers before a client has signed in: what it offers, and its mechanisms.
_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_LAST_REQUEST = 95  # the newest of Kafka 4.3 has a lower number


def intrusions(stack: Stack) -> list[str]:
    """What another user of the machine gets from a running stack; empty when it is private."""
    home = stack.at()
    places = {"kafka": 2, "controller": 3, "postgres": 4, "nats": 5}
    ports = {name: home.port_base + place for name, place in places.items()}
    told = json.dumps({"ports": ports, "entries": [str(path) for path in stack.files()]})
    ran = subprocess.run(
        [sys.executable, "-m", "tests.stacks.intruder"],
        input=told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    secrets = [line.partition("=")[2] for line in home.secrets_file.read_text().splitlines()]
    assert len(secrets) == 5
    shown = [
        f"the command line {words}"
        for words in found["commands"]
        if any(secret in words for secret in secrets)
    ]
    # it saw them all, those of the stack, too
    assert any("kafka.Kafka" in words for words in found["commands"])
    assert any("agents.worker" in words for words in found["commands"])
    return [*found["got"], *shown]


def main() -> None:
    told = json.load(sys.stdin)
    ports: dict[str, int] = told["ports"]
    is_another = os.geteuid() == 0
    if is_another:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    tries: list[Callable[[], str]] = [
        *_at_postgres(ports["postgres"]),
        *_at_kafka("kafka", ports["kafka"]),
        *_at_kafka("controller", ports["controller"]),
        *_at_nats(ports["nats"]),
        *(_at_files(told["entries"]) if is_another else ()),
    ]
    with ThreadPoolExecutor(16) as pool:
        got = [result for result in pool.map(lambda attempt: attempt(), tries) if result]
    if is_another:
        got += _environments()
    json.dump({"got": got, "commands": list(_command_lines())}, sys.stdout)


def _at_postgres(port: int) -> Iterator[Callable[[], str]]:
    """Every user, password and database that somebody might think of."""

    def attempt(user: str, password: str | None, database: str) -> str:
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user=user, password=password, dbname=database
            ).close()
        except psycopg.OperationalError:
            return ""
        return f"PostgreSQL: {user} with {password!r} in {database}"

    for guess in product(_USERS, _GUESSES, ("campaigns", "postgres", "template1")):
        yield lambda guess=guess: attempt(*guess)  # type: ignore[misc]


def _at_kafka(name: str, port: int) -> Iterator[Callable[[], str]]:
    """Every request of the protocol without signing in, and every user with guessed passwords."""

    def ask(request: int, version: int) -> str:
        with socket.create_connection(("127.0.0.1", port), _WITHIN) as connection:
            try:
                answer = _asked(connection, request, version, b"\0" * 64)
            except TimeoutError:
                return f"{name}: request {request}, version {version}, is not refused"
        return f"{name}: an answer to request {request}, version {version}" if answer else ""

    def sign_in(user: str, password: str) -> str:
        with socket.create_connection(("127.0.0.1", port), _WITHIN) as connection:
            offered = _asked(connection, _SASL_HANDSHAKE, 1, struct.pack(">h5s", 5, b"PLAIN"))
            if offered[:2] != b"\0\0":
                return f"{name}: asks for no password"
            message = f"\0{user}\0{password}".encode()
            body = struct.pack(">i", len(message)) + message
            said = _asked(connection, _SASL_AUTHENTICATE, 0, body)
        return f"{name}: {user} with {password!r}" if said[:2] == b"\0\0" else ""

    for request in range(_LAST_REQUEST):
        if request not in (_API_VERSIONS, _SASL_HANDSHAKE):
            for version in (0, 9):
                yield lambda request=request, version=version: ask(request, version)  # type: ignore[misc]
    for user, password in product(_USERS, _GUESSES):
        if password:
            yield lambda user=user, password=password: sign_in(user, password)  # type: ignore[misc]


def _asked(connection: socket.socket, request: int, version: int, body: bytes) -> bytes:
    """The answer without its length and number; b"" when the server ends the connection."""
    sent = struct.pack(">hhih5s", request, version, 1, 5, b"nosey") + body
    connection.sendall(struct.pack(">i", len(sent)) + sent)
    try:
        length = connection.recv(4, socket.MSG_WAITALL)
        if len(length) < 4:
            return b""
        return connection.recv(struct.unpack(">i", length)[0], socket.MSG_WAITALL)[4:]
    except ConnectionResetError:
        return b""


def _at_nats(port: int) -> Iterator[Callable[[], str]]:
    """Commands before signing in, and every identity that somebody might think of."""

    def attempt(lines: str) -> str:
        with socket.create_connection(("127.0.0.1", port), _WITHIN) as connection:
            connection.recv(4096)  # what the server is
            said = b""
            try:
                connection.sendall(f"{lines}PING\r\n".encode())
                while b"PONG" not in said and (piece := connection.recv(4096)):
                    said += piece
            except (ConnectionResetError, BrokenPipeError):
                pass
        return f"NATS: {lines!r} was answered {said!r}" if b"PONG" in said else ""

    for line in ("", "SUB > 1\r\n", "PUB campaign.x 2\r\nhi\r\n", "SUB $JS.API.> 1\r\n"):
        yield lambda line=line: attempt(line)  # type: ignore[misc]
    identities: list[dict[str, str | None]] = [
        {"user": user, "pass": password} for user, password in product(_USERS, _GUESSES)
    ]
    identities += [{"auth_token": guess} for guess in _GUESSES]
    for identity in ({}, *identities):
        given = json.dumps({"verbose": False, "pedantic": False, **identity})
        yield lambda given=given: attempt(f"CONNECT {given}\r\n")  # type: ignore[misc]


def _at_files(entries: Iterable[str]) -> Iterator[Callable[[], str]]:
    """Reading and changing every file, listing every folder, and making a file in it."""

    def attempt(entry: str, flags: int) -> str:
        try:
            os.close(os.open(entry, flags))
        except (PermissionError, IsADirectoryError):  # no folder can be opened to write
            return ""
        except OSError as error:
            return f"{entry}: {error.strerror}"
        return f"{entry} with flags {flags:o}"

    for entry in entries:
        for flags in (os.O_RDONLY, os.O_WRONLY):
            yield lambda entry=entry, flags=flags: attempt(entry, flags)  # type: ignore[misc]
        new = str(Path(entry) / "new")
        yield lambda new=new: attempt(new, os.O_WRONLY | os.O_CREAT)  # type: ignore[misc]


def _command_lines() -> Iterator[str]:
    """Of every process that this user sees: all of the machine's."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def _environments() -> list[str]:
    """The processes of other users whose environment can be read."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_other = process.stat().st_uid != _NOBODY
            (process / "environ").read_bytes()
        except OSError:
            continue
        if is_other:
            found.append(f"the environment of process {process.name}")
    return found


if __name__ == "__main__":
    main()
