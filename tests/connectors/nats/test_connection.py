"""Connecting to a real NATS: every kind of identity, TLS in both directions, several servers, and
one sentence for everything that can be wrong.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.transport import TcpTransport
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.nats import Nats
from connectors.nats.connection import connect, found
from connectors.nats.failures import NatsDownError, NatsRefusedError
from connectors.nats.jetstream import JetStreamConnection, Publication
from connectors.nats.stream import ensure_stream
from streams.settings import Settings
from tests.certificates import Authority
from tests.connectors.nats import secured
from tests.eventually import eventually
from tests.silence import AT_MOST, seconds_until_noticed

Start = Callable[[str], str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with the given configuration and answers its URL."""
    running = list[RunningEngine]()

    def started(configuration: str) -> str:
        folder = tmp_path / f"nats{len(running)}"
        engine = RunningEngine(
            Nats(folder, free_port(), OPEN, configuration=configuration), folder.with_suffix(".log")
        )
        running.append(engine)
        engine.start()
        return engine.address

    yield started
    for engine in running:
        engine.stop()


def settings(url: str, **more: Any) -> Settings:
    keys = (SecretStr("00" * 32),)
    return Settings(kafka="", postgres="", nats=url, message_keys=keys, **more)


async def takes_messages(its: Settings) -> None:
    """The stream can be made there, and a message stored."""
    connection = await JetStreamConnection.open(its)
    try:
        await ensure_stream(connection, its)
        await (await connection.publish([Publication("campaign.started", "1", "acme", b"{}")]))
    finally:
        await connection.close()


async def refusal(its: Settings) -> str:
    with pytest.raises(NatsRefusedError) as raised:
        await JetStreamConnection.open(its)
    return str(raised.value)


async def test_user_and_password_of_the_settings_or_of_the_url(start: Start) -> None:
    url = start(secured.password("bridge", "p@ss/wörd"))
    await takes_messages(settings(url, nats_user="bridge", nats_password=SecretStr("p@ss/wörd")))
    await takes_messages(settings(url.replace("//", "//bridge:p%40ss%2Fw%C3%B6rd@")))
    wrong = await refusal(settings(url, nats_user="bridge", nats_password=SecretStr("guess")))
    assert wrong.startswith(
        "NATS refuses the identity in CAMPAIGNS_NATS_USER and CAMPAIGNS_NATS_PASSWORD"
    )
    assert "guess" not in wrong
    none = await refusal(settings(url))
    assert none.startswith("NATS asks for an identity: set CAMPAIGNS_NATS_CREDENTIALS_FILE or")


async def test_token_of_the_settings_or_of_the_url(start: Start) -> None:
    url = start(secured.token("s3cret"))
    await takes_messages(settings(url, nats_token=SecretStr("s3cret")))
    await takes_messages(settings(url.replace("//", "//s3cret@")))
    wrong = await refusal(settings(url, nats_token=SecretStr("other")))
    assert wrong.startswith("NATS refuses the identity in CAMPAIGNS_NATS_TOKEN")


async def test_nats_lets_in_the_nkey_that_it_knows_and_no_other(
    start: Start, tmp_path: Path
) -> None:
    file, public = secured.make_user(tmp_path)
    url = start(secured.nkey(public))
    await takes_messages(settings(url, nats_nkey_file=str(file)))
    stranger, _ = secured.make_user(tmp_path)
    wrong = await refusal(settings(url, nats_nkey_file=str(stranger)))
    assert wrong.startswith("NATS refuses the identity in CAMPAIGNS_NATS_NKEY_FILE")


async def test_nats_lets_in_the_credentials_that_it_knows_and_no_other(
    start: Start, tmp_path: Path
) -> None:
    configuration, file = secured.operator(tmp_path)
    url = start(configuration)
    await takes_messages(settings(url, nats_credentials_file=str(file)))
    (tmp_path / "other").mkdir()
    _, foreign = secured.operator(tmp_path / "other")
    wrong = await refusal(settings(url, nats_credentials_file=str(foreign)))
    assert wrong.startswith("NATS refuses the identity in CAMPAIGNS_NATS_CREDENTIALS_FILE")


async def test_tls_verifies_who_signed_and_for_which_host(start: Start, tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    url = start(secured.tls(ours))
    assert url.startswith("tls://")
    await takes_messages(settings(url, nats_ca_file=str(ours.file)))
    other = Authority(tmp_path / "other")
    wrong = await refusal(settings(url, nats_ca_file=str(other.file)))
    assert wrong.startswith("The certificate of NATS is not accepted: ")
    assert "CAMPAIGNS_NATS_CA_FILE must hold who signed it" in wrong
    assert (await refusal(settings(url))).startswith("The certificate of NATS is not accepted: ")
    misnamed = start(secured.tls(ours, host="nats.example"))
    assert "not valid for '127.0.0.1'" in await refusal(
        settings(misnamed, nats_ca_file=str(ours.file))
    )


async def test_a_server_that_offers_no_tls_gets_no_password_when_tls_is_asked_for(
    start: Start,
) -> None:
    url = start(secured.password("bridge", "secret")).replace("nats://", "tls://")
    said, received = await _what_a_server_without_tls_gets(url)
    assert "TLS is asked for" in said and received == b""


async def _what_a_server_without_tls_gets(url: str) -> tuple[str, bytes]:
    """The refusal by a listener that says what the server says, and what it was sent."""
    host, _, port = url.removeprefix("tls://").partition(":")
    received = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, answering = await asyncio.open_connection(host, int(port))
        writer.write(await upstream.readline())
        received.extend(await reader.read())
        for each in (writer, answering):
            each.close()
            await each.wait_closed()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as listener:
        _, listening = listener.sockets[0].getsockname()
        secret = SecretStr("secret")
        said = await refusal(
            settings(f"tls://127.0.0.1:{listening}", nats_user="bridge", nats_password=secret)
        )
    return said, bytes(received)


async def test_tls_is_used_where_the_server_leaves_the_choice(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    url = start(secured.tls(authority) + "allow_non_tls: true\n")
    client = await connect(settings(url, nats_ca_file=str(authority.file)))
    assert client.is_encrypted
    await client.end()


def test_a_server_that_refuses_and_keeps_the_connection_leaves_nothing_open(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    with _refusing(authority) as port:
        its = settings(f"tls://127.0.0.1:{port}", nats_ca_file=str(authority.file))
        with pytest.raises(NatsRefusedError):
            asyncio.run(connect(its))
        gc.collect()  # an open socket without a loop warns, which fails this test


@contextmanager
def _refusing(authority: Authority) -> Iterator[int]:
    """The port of a server that refuses everybody and ends no connection, and no TLS session."""
    context, held = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), list[socket.socket]()
    context.load_cert_chain(authority.issue("127.0.0.1").both)

    def answer() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                held.append(listener.accept()[0])
                held[-1].sendall(b'INFO {"tls_required": true, "auth_required": true}\r\n')
                held.append(context.wrap_socket(held.pop(), server_side=True))
                held[-1].sendall(b"-ERR 'Authorization Violation'\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in held:
                each.close()


async def test_nats_lets_in_a_certificate_of_its_authority_and_no_other(
    start: Start, tmp_path: Path
) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    own, stranger = (each.issue("bridge@campaigns.test") for each in (ours, other))
    url = start(secured.tls(ours, asks_for_certificate=True))

    def with_files(certificate: Path | str, key: Path | str) -> Settings:
        return settings(
            url,
            nats_ca_file=str(ours.file),
            nats_certificate_file=str(certificate),
            nats_key_file=str(key),
        )

    await takes_messages(with_files(own.certificate, own.key))
    await takes_messages(with_files(own.both, ""))
    none = await refusal(with_files("", ""))
    assert none == "NATS asks for a client certificate: set CAMPAIGNS_NATS_CERTIFICATE_FILE."
    foreign = await refusal(with_files(stranger.certificate, stranger.key))
    assert "not accept CAMPAIGNS_NATS_CERTIFICATE_FILE" in foreign
    assert "are not a pair" in await refusal(with_files(own.certificate, stranger.key))
    locked = ours.issue("locked@campaigns.test", password="secret")
    assert "without a password" in await refusal(with_files(locked.certificate, locked.key))


@pytest.mark.parametrize(
    "name", ["credentials_file", "nkey_file", "ca_file", "certificate_file", "key_file"]
)
async def test_an_unusable_file_is_named(name: str, tmp_path: Path) -> None:
    variable = f"CAMPAIGNS_NATS_{name.upper()}"
    own = Authority(tmp_path / "certificates").issue("bridge@campaigns.test")
    more = {"nats_certificate_file": str(own.certificate)} if name == "key_file" else {}
    rubbish, missing = tmp_path / "rubbish", tmp_path / "missing"
    rubbish.write_text("rubbish\n")
    url = f"nats://127.0.0.1:{free_port()}"
    said = await refusal(settings(url, **more | {f"nats_{name}": str(missing)}))
    assert said == f"{variable}: {missing} cannot be read (No such file or directory)."
    said = await refusal(settings(url, **more | {f"nats_{name}": str(rubbish)}))
    assert said.startswith("CAMPAIGNS_NATS_CERTIFICATE_FILE" if name == "key_file" else variable)


async def test_the_next_server_of_the_list_is_used(start: Start) -> None:
    dead, alive = f"nats://127.0.0.1:{free_port()}", start("")
    await takes_messages(settings(f"{dead}, {alive}"))
    with pytest.raises(NatsDownError, match=r"NATS does not answer: .*Connect call failed"):
        await JetStreamConnection.open(settings(dead))


async def test_a_lost_connection_fails_its_batches_and_moves_to_another_server(
    tmp_path: Path,
) -> None:
    engines = [
        RunningEngine(Nats(tmp_path / name, free_port(), OPEN), tmp_path / f"{name}.log")
        for name in ("first", "second")
    ]
    engines[0].start()
    its = settings(",".join(engine.address for engine in engines))
    connection = await JetStreamConnection.open(its)
    try:
        await ensure_stream(connection, its)
        engines[1].start()
        other = await JetStreamConnection.open(settings(engines[1].address))
        await ensure_stream(other, its)
        await other.close()
        os.kill(engines[0].pid, signal.SIGSTOP)  # so that most of it is never written
        large = Publication("campaign.started", "1", "acme", bytes(100_000))
        unlucky = [await connection.publish([large] * 100) for _ in range(5)]
        engines[0].kill()
        for each in unlucky:
            with pytest.raises(NatsDownError):
                await asyncio.wait_for(each, 300)
        assert await connection.is_back(10) and connection.session > 0
        await ensure_stream(connection, its)
        await (await connection.publish([large]))
        # nothing that has failed was written to the new server behind our back
        info = await connection.streams.stream_info("CAMPAIGNS")
        assert info.state.messages == 1 and connection.duplicates == 0
    finally:
        await connection.close()
        for engine in engines:
            engine.stop()


async def test_a_server_learned_from_the_cluster_is_used(tmp_path: Path) -> None:
    routes = [free_port(), free_port()]
    both = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    engines = [
        RunningEngine(
            Nats(
                tmp_path / name,
                free_port(),
                OPEN,
                configuration=f"server_name: {name}\ncluster {{ name: both, "
                f'listen: "127.0.0.1:{route}", routes: [{both}] }}\n',
            ),
            tmp_path / f"{name}.log",
        )
        for name, route in zip(("first", "second"), routes, strict=True)
    ]
    for engine in engines:
        engine.start()
    connection = await JetStreamConnection.open(settings(engines[0].address))
    try:
        await eventually(lambda: len(connection.servers) == 2)
        engines[0].kill()
        await eventually(lambda: connection.session == 1)
        assert await connection.is_back(10)
    finally:
        await connection.close()
        for engine in engines:
            engine.stop()


async def test_a_user_without_the_permission_is_refused(start: Start) -> None:
    url = start(
        'authorization { users: [ { user: a, password: b, permissions: { publish: "x" } } ] }\n'
    )
    its = settings(url, nats_user="a", nats_password=SecretStr("b"))
    connection = await JetStreamConnection.open(its)
    with pytest.raises(NatsRefusedError, match=r"lacks a permission: .*publish"):
        await ensure_stream(connection, its)
    await connection.close()


async def test_the_permissions_of_the_page_are_enough(start: Start) -> None:
    page = (Path(__file__).parents[3] / "docs" / "operate" / "connections.md").read_text()
    listed = re.search(r"^publish: (.+)^subscribe: (.+?)$", page, re.MULTILINE | re.DOTALL)
    assert listed is not None
    publish, subscribe = (
        json.dumps([each.strip() for each in subjects.split(",")]) for subjects in listed.groups()
    )
    url = start(
        "authorization { users: [ { user: a, password: b, "
        f"permissions: {{ publish: {publish}, subscribe: {subscribe} }} }} ] }}\n"
    )
    its = settings(url, nats_user="a", nats_password=SecretStr("b"))
    await takes_messages(its)
    client = await connect(its)
    await client.jsm().update_stream(
        (await client.jsm().stream_info("CAMPAIGNS")).config, duplicate_window=60
    )
    await client.end()
    await takes_messages(its)  # it corrects the stream
    assert "JetStream" in await found(its)


async def test_a_certificate_can_be_the_identity(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    own = authority.issue("bridge@campaigns.test")
    lines = secured.tls(authority).replace("verify: false", "verify_and_map: true")
    url = start(lines + 'authorization { users: [ { user: "bridge@campaigns.test" } ] }\n')
    files = {"nats_ca_file": str(authority.file), "nats_certificate_file": str(own.both)}
    await takes_messages(settings(url, **files))


async def test_doctor_says_what_answers(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    url = start(secured.tls(authority))
    sentence = await found(settings(url, nats_ca_file=str(authority.file)))
    assert sentence.startswith("nats-server 2.") and sentence.endswith("with JetStream and TLS")
    engine = replace(Nats(tmp_path / "n", 1, OPEN), configuration="tls { }\n")
    assert engine.address == "tls://127.0.0.1:1"


async def test_a_server_that_falls_silent_is_noticed_within_ten_seconds(start: Start) -> None:
    """By the kernel, also on a connection that nats-py has made again."""
    client = await connect(settings(start("")))

    def wire() -> socket.socket | None:
        transport = client._transport
        if not isinstance(transport, TcpTransport) or transport._io_writer is None:
            return None
        found: socket.socket = transport._io_writer.get_extra_info("socket")
        return found

    def again() -> bool:
        return client.is_connected and wire() not in (None, first)

    try:
        first = wire()
        assert first is not None
        assert seconds_until_noticed(first) <= AT_MOST
        first.shutdown(socket.SHUT_RDWR)
        await eventually(again)
        second = wire()
        assert second is not None
        assert seconds_until_noticed(second) <= AT_MOST
    finally:
        await client.end()
