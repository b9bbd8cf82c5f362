"""The product's own clients on real brokers that ask for SASL over TLS or for a certificate: every
mechanism produces, consumes and commits transactions, and every refusal is one sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from connectors.local.engines.engine import RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_listener import SecuredListener
from connectors.setup import topics
from streams.kafka import clients
from streams.kafka.access import AccessRefusedError
from streams.kafka.refusals import check, reason, refusal
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.certificates import Authority
from tests.streams.kafka.secured import TokenEndpoint, unsigned_token, with_kafka

PASSWORDS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


@dataclass(frozen=True)
class Secured:
    """A broker at `address` whose certificate, for 127.0.0.1, `ours` has signed, and settings that
    it lets in.
    """

    address: str
    ours: Authority
    foreign: Authority
    folder: Path

    def settings(self, mechanism: str = "SCRAM-SHA-512", **kafka: str) -> Settings:
        """By SASL, as the user `campaigns`."""
        user = {"user": "campaigns", "password": "hunter2"} if mechanism in PASSWORDS else {}
        sasl = {"security": "SASL_SSL", "mechanism": mechanism, "ca_file": str(self.ours.file)}
        return with_kafka(self.address, **(sasl | user | kafka))

    def certified(self, **kafka: str) -> Settings:
        """By a certificate."""
        pair = self.ours.issue("campaigns.example")
        files = {"certificate_file": str(pair.certificate), "key_file": str(pair.key)}
        tls = {"security": "SSL", "ca_file": str(self.ours.file)}
        return with_kafka(self.address, **(tls | files | kafka))


def _started(folder: Path, listener: Callable[[Authority], SecuredListener]) -> Iterator[Secured]:
    ours = Authority(folder / "ours")
    kafka = Kafka(folder / "kafka", free_port(), free_port(), listener=listener(ours))
    engine = RunningEngine(kafka, folder / "kafka.log")
    engine.start()
    yield Secured(engine.address, ours, Authority(folder / "foreign"), folder)
    engine.stop()


@pytest.fixture(scope="module")
def sasl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker that offers only SASL_SSL, by every mechanism."""

    def listener(ours: Authority) -> SecuredListener:
        return SecuredListener(
            "SASL_SSL",
            ours.issue("127.0.0.1").both,
            ours.file,
            mechanisms=("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"),
            users={"broker": "itself", "campaigns": "hunter2"},
        )

    yield from _started(tmp_path_factory.mktemp("sasl"), listener)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker that offers only SSL and wants a certificate of every client."""

    def listener(ours: Authority) -> SecuredListener:
        certificate = ours.issue("127.0.0.1").both
        return SecuredListener("SSL", certificate, ours.file, wants_certificates=True)

    yield from _started(tmp_path_factory.mktemp("mutual"), listener)


@pytest.fixture(scope="module")
def in_clear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker that offers only SASL_PLAINTEXT, by PLAIN."""

    def listener(_: Authority) -> SecuredListener:
        users = {"broker": "itself", "campaigns": "hunter2"}
        return SecuredListener("SASL_PLAINTEXT", mechanisms=("PLAIN",), users=users)

    yield from _started(tmp_path_factory.mktemp("clear"), listener)


async def _works(settings: Settings) -> None:
    """Creates the topics, commits one transaction, aborts another, and reads the first alone."""
    await check(settings)
    settings = settings.model_copy(
        update={"partitions": 1, "topic_prefix": f"t{settings.kafka_mechanism}-"}
    )
    await topics.create(settings)
    assert await topics.differences(settings) == []
    topic = Topics(settings).name(Name.EVENTS)
    async with clients.producer(settings, transactional_id=f"of-{topic}") as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", partition=0)
        await producer.abort_transaction()
    reading = clients.consumer(
        settings,
        group_id=f"of-{topic}",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    reading.subscribe([topic])
    async with reading as consumer:
        async with asyncio.timeout(300):
            assert (await consumer.getone()).value == b"committed"
        await consumer.commit()
        end = (await consumer.end_offsets([TopicPartition(topic, 0)])).popitem()[1]
        async with asyncio.timeout(300):
            while await consumer.position(TopicPartition(topic, 0)) < end:
                assert not await consumer.getmany(timeout_ms=100)


@pytest.mark.parametrize("mechanism", PASSWORDS)
async def test_clients_sign_in_with_a_password(sasl: Secured, mechanism: str) -> None:
    await _works(sasl.settings(mechanism))


async def test_clients_sign_in_with_a_token_of_an_endpoint(sasl: Secured) -> None:
    with TokenEndpoint().served() as endpoint:
        await _works(endpoint.settings(sasl.address, ca_file=str(sasl.ours.file)))
        assert len(endpoint.asked) == 1


async def test_clients_sign_in_with_a_token_of_a_file(sasl: Secured, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(unsigned_token("campaigns"))
    await _works(sasl.settings("OAUTHBEARER", token_file=str(file)))


async def test_clients_sign_in_without_tls(in_clear: Secured) -> None:
    await _works(in_clear.settings("PLAIN", security="SASL_PLAINTEXT", ca_file=""))
    scram = in_clear.settings("SCRAM-SHA-256", security="SASL_PLAINTEXT", ca_file="")
    assert await _sentence(scram) == (
        "Kafka at HOST does not offer CAMPAIGNS_KAFKA_MECHANISM=SCRAM-SHA-256"
    )


async def test_clients_show_a_certificate(mutual: Secured) -> None:
    await _works(mutual.certified())
    both = mutual.ours.issue("other.example").both
    await check(mutual.certified(certificate_file=str(both), key_file=""))


def test_clients_that_wait_for_records_close_without_waiting_for_the_broker(
    sasl: Secured,
) -> None:
    async def reads(settings: Settings) -> None:
        """Everything there is; by then it has asked for more."""
        source = TopicPartition(Topics(settings).name(Name.EVENTS), 0)
        consumer = clients.consumer(settings, auto_offset_reset="earliest", fetch_max_wait_ms=50)
        await consumer.start()
        await consumer.topics()
        consumer.assign([source])
        end = (await consumer.end_offsets([source]))[source]
        consumer.seek(source, 0)
        while await consumer.position(source) < end:
            await consumer.getmany(timeout_ms=100)
        async with asyncio.timeout(25):  # the loop itself would wait for 30
            await consumer.stop()

    async def closes() -> None:
        settings = sasl.settings().model_copy(update={"partitions": 1, "topic_prefix": "closing-"})
        await topics.create(settings)
        async with clients.producer(settings) as producer:
            await producer.send_and_wait(Topics(settings).name(Name.EVENTS), b"one", partition=0)
        for _ in range(10):
            await asyncio.gather(*(reads(settings) for _ in range(3)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # that of every process
        runner.run(closes())


async def _sentence(settings: Settings) -> str:
    """Of the certain refusal, without the address; what a waiting client logs is the same."""
    with pytest.raises(AccessRefusedError) as refused:
        await check(settings)
    admin = clients.admin(settings)
    with pytest.raises(KafkaConnectionError) as failed:
        await admin.start()
    await admin.close()
    assert await reason(settings, failed.value) == str(refused.value)
    assert "hunter3" not in str(refused.value)
    return str(refused.value).replace(settings.kafka, "HOST")


@pytest.mark.parametrize("mechanism", PASSWORDS)
async def test_a_wrong_password_is_one_sentence(sasl: Secured, mechanism: str) -> None:
    told = "Kafka at HOST refuses CAMPAIGNS_KAFKA_USER=campaigns with its CAMPAIGNS_KAFKA_PASSWORD"
    found = await _sentence(sasl.settings(mechanism, password="hunter3"))
    assert found.startswith(f"{told} ({mechanism}): Authentication failed")


async def test_a_token_that_has_expired_is_one_sentence(sasl: Secured, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(unsigned_token("campaigns", life=-300))
    found = await _sentence(sasl.settings("OAUTHBEARER", token_file=str(file)))
    assert found.startswith("Kafka at HOST refuses the token: ")


async def test_a_certificate_of_an_unknown_authority_is_one_sentence(sasl: Secured) -> None:
    for file in (str(sasl.foreign.file), ""):
        assert await _sentence(sasl.settings(ca_file=file)) == (
            "the certificate of Kafka at HOST is not trusted: unable to get local issuer "
            "certificate; CAMPAIGNS_KAFKA_CA_FILE has to hold the certificate of the authority "
            "that signed it"
        )


async def test_another_host_than_the_certificate_names_is_one_sentence(sasl: Secured) -> None:
    port = sasl.address.rpartition(":")[2]
    settings = sasl.settings().model_copy(update={"kafka": f"localhost:{port}"})
    assert await _sentence(settings) == (
        "the certificate of Kafka at HOST is not trusted: Hostname mismatch, certificate is not "
        "valid for 'localhost'; CAMPAIGNS_KAFKA has to name the host as the certificate does"
    )


async def test_a_missing_or_foreign_certificate_is_one_sentence(mutual: Secured) -> None:
    assert (await _sentence(mutual.certified(certificate_file="", key_file=""))).startswith(
        "Kafka at HOST wants a client's certificate ("
    )
    foreign = mutual.foreign.issue("campaigns.example").both
    assert (
        await _sentence(mutual.certified(certificate_file=str(foreign), key_file=""))
    ).startswith("Kafka at HOST refuses this client's certificate (")


async def test_a_listener_without_sasl_is_one_sentence(kafka: str) -> None:
    plain = {"mechanism": "PLAIN", "user": "campaigns", "password": "hunter2"}
    assert await _sentence(with_kafka(kafka, security="SASL_PLAINTEXT", **plain)) == (
        "Kafka at HOST does not offer SASL, which CAMPAIGNS_KAFKA_SECURITY=SASL_PLAINTEXT asks for"
    )


async def test_another_protocol_than_the_listeners_is_suspected(sasl: Secured, kafka: str) -> None:
    ca = {"ca_file": str(sasl.ours.file)}
    for settings in (
        with_kafka(sasl.address),
        with_kafka(sasl.address, security="SSL", **ca),
        with_kafka(kafka, security="SSL", **ca),
    ):
        found = await refusal(settings)
        assert found is not None
        assert not found.is_certain  # a server that is just stopping closes connections, too
        assert f"CAMPAIGNS_KAFKA_SECURITY={settings.kafka_security}" in found.sentence
        await check(settings)


async def test_one_server_of_several_that_lets_us_in_is_enough(sasl: Secured, kafka: str) -> None:
    away = f"127.0.0.1:{free_port()}"
    settings = sasl.settings()
    for servers in (f"{away},{settings.kafka}", f"{kafka},{settings.kafka}"):
        await check(settings.model_copy(update={"kafka": servers}))
    assert await refusal(settings.model_copy(update={"kafka": away})) is None
