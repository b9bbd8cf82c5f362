"""Amazon SNS: both signature versions, certificates from nowhere else, topics that are allowed."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from connectors.webhooks import ses, sns
from connectors.webhooks.delivery import SignatureError
from streams.errors import DependencyDownError
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.test_signatures import delivery
from tests.eventually import eventually


class Amazon:
    """Serves one certificate and remembers who asked for what."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer, self.asked = answer, list[str]()

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def check_sns(
    signed: signing.Signed, amazon: Amazon, topics: tuple[str, ...] = (signing.TOPIC,)
) -> None:
    await sns.verify(ses.envelope(delivery(signed)), topics, sns.Certificates(amazon))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "kind", ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
)
async def test_sns_signatures_of_both_versions_verify_and_the_certificate_is_fetched_once(
    version: str, kind: str
) -> None:
    amazon = Amazon(signing.sns_certificate())
    certificates = sns.Certificates(amazon)
    envelope = ses.envelope(delivery(signing.sns({"a": 1}, kind, version)))
    await asyncio.gather(
        *(sns.verify(envelope, ("arn:other", signing.TOPIC), certificates) for _ in range(5))
    )
    assert amazon.asked == [signing.CERTIFICATE_URL]


async def test_a_subject_is_signed_too() -> None:
    amazon = Amazon(signing.sns_certificate())
    headers, body = signing.sns({"a": 1}, Subject="Amazon SES")
    await check_sns((headers, body), amazon)
    with pytest.raises(SignatureError):
        await check_sns((headers, body.replace(b"Amazon SES", b"Another")), amazon)


@pytest.mark.parametrize(
    "field",
    ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "Signature", "SignatureVersion"],
)
async def test_a_tampered_message_of_sns_is_refused(field: str) -> None:
    headers, body = signing.sns({"a": 1})
    fields = json.loads(body)
    changed = {
        "Type": "UnsubscribeConfirmation",
        "SignatureVersion": "1",
        "Signature": base64.b64encode(b"x" * 256).decode(),
    }
    fields[field] = changed.get(field, fields[field] + "x")
    with pytest.raises(SignatureError):
        await check_sns((headers, json.dumps(fields).encode()), Amazon(signing.sns_certificate()))


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://user@sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem?x=1",
        "https://sns.eu-central-1.amazonaws.com/../SimpleNotificationService-1.pem",
        "https://s3.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.s3-eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.evil.example/sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem\n",
    ],
)
async def test_no_certificate_from_elsewhere_is_fetched(url: str) -> None:
    headers, body = signing.sns({"a": 1})
    amazon = Amazon(signing.sns_certificate())
    with pytest.raises(SignatureError):
        await check_sns(
            (headers, json.dumps(json.loads(body) | {"SigningCertURL": url}).encode()), amazon
        )
    assert amazon.asked == []


async def test_a_foreign_topic_is_refused_before_anything_is_fetched() -> None:
    amazon = Amazon(signing.sns_certificate())
    with pytest.raises(SignatureError):
        await check_sns(signing.sns({}), amazon, (signing.TOPIC + "-other",))
    assert amazon.asked == []


async def test_no_certificate_is_a_refusal_and_one_that_does_not_come_a_dependency() -> None:
    with pytest.raises(SignatureError):
        await check_sns(signing.sns({}), Amazon(b"<html>"))
    down = Amazon(DependencyDownError("down"))
    with pytest.raises(DependencyDownError):
        await check_sns(signing.sns({}), down)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\npem", b"pem"),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            SignatureError,
        ),
        (
            b"HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\n"
            b"location: /SimpleNotificationService-1.pem\r\n\r\n",
            SignatureError,
        ),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", SignatureError),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * (65 << 10), SignatureError),
        (b"HTTP/1.1 499 Gone\r\ncontent-length: 0\r\n\r\n", SignatureError),
        (b"HTTP/1.1 500 Bug\r\ncontent-length: 0\r\n\r\n", DependencyDownError),
        (b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n", DependencyDownError),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * (64 << 10), b"x" * (64 << 10)),
        (
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * ((64 << 10) + 1),
            SignatureError,
        ),
        (b"nonsense\r\n\r\n", DependencyDownError),
    ],
    ids=[
        "certificate",
        "redirect",
        "redirect to itself",
        "unknown",
        "too large",
        "theirs",
        "broken",
        "busy",
        "as large as can be",
        "a byte too large",
        "no HTTP",
    ],
)
async def test_a_certificate_is_fetched_without_following_anybody(
    answer: bytes, expected: bytes | type[Exception]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"GET /SimpleNotificationService-1.pem HTTP/1.1\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = (
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/SimpleNotificationService-1.pem"
        )
        if isinstance(expected, bytes):
            assert await sns.fetched(url) == expected
        else:
            with pytest.raises(expected):
                await sns.fetched(url)


async def test_twenty_certificates_are_kept_and_the_oldest_goes_first() -> None:
    amazon = Amazon(signing.sns_certificate())
    certificates = sns.Certificates(amazon)
    urls = [
        f"https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-{number}.pem"
        for number in range(21)
    ]
    for url in (*urls[:20], *urls[:20]):
        await certificates.key(url)
    assert amazon.asked == urls[:20]
    await certificates.key(urls[20])
    await certificates.key(urls[1])
    await certificates.key(urls[0])
    assert amazon.asked == [*urls, urls[0]]


@pytest.mark.parametrize(
    "host",
    [
        "sns.eu-central-1.amazonaws.com",
        "sns.us-gov-west-1.amazonaws.com",
        "sns.cn-north-1.amazonaws.com.cn",
        "sns.ap-southeast-12.amazonaws.com",
    ],
)
async def test_certificates_of_every_region_are_fetched(host: str) -> None:
    amazon = Amazon(signing.sns_certificate())
    url = f"https://{host}/SimpleNotificationService-0aF.pem"
    await sns.Certificates(amazon).key(url)
    assert amazon.asked == [url]


async def test_a_certificate_without_an_rsa_key_signs_nothing() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )
    with pytest.raises(SignatureError, match="no RSA key"):
        await check_sns(signing.sns({}), Amazon(certificate))


@pytest.mark.parametrize("field", ["SignatureVersion", "Type"])
async def test_a_version_or_type_that_sns_does_not_have_is_refused_before_a_fetch(
    field: str,
) -> None:
    headers, body = signing.sns({})
    amazon = Amazon(signing.sns_certificate())
    changed = json.dumps({**json.loads(body), field: "3"}).encode()
    with pytest.raises(SignatureError, match=r"version is unknown|no such type"):
        await check_sns((headers, changed), amazon)
    assert amazon.asked == []


async def test_a_signature_with_other_characters_in_it_is_no_base64() -> None:
    headers, body = signing.sns({})
    fields = json.loads(body)
    fields["Signature"] = fields["Signature"][:8] + "!" + fields["Signature"][8:]
    with pytest.raises(SignatureError, match="does not fit"):
        await check_sns((headers, json.dumps(fields).encode()), Amazon(signing.sns_certificate()))


@pytest.mark.parametrize(
    ("arn", "is_topic"),
    [
        (signing.TOPIC, True),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:a", True),
        ("arn:aws:sns:eu-central-1:123456789012:" + "a" * 256, True),
        ("arn:aws:sns:eu-central-1:123456789012:" + "a" * 257, False),
        ("arn:aws:sns:eu-central-1:12345678901:a", False),
        ("arn:aws:sns:eu-central-1:123456789012:a:sub", False),
        ("arn:aws:sns::123456789012:a", False),
        ("arn:aws:sqs:eu-central-1:123456789012:a", False),
        (signing.TOPIC + "\n", False),
    ],
)
def test_a_topic_is_named_by_its_whole_arn(arn: str, is_topic: bool) -> None:
    assert (sns.TOPIC_ARN.fullmatch(arn) is not None) is is_topic


class SlowAmazon(Amazon):
    """Serves nothing before it is told to."""

    def __init__(self, answer: bytes | Exception) -> None:
        super().__init__(answer)
        self.go = asyncio.Event()

    async def __call__(self, url: str) -> bytes:
        found = await super().__call__(url)
        await self.go.wait()
        return found


def certificate_url(number: int) -> str:
    return f"https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-{number}.pem"


async def test_a_known_certificate_and_those_of_others_wait_for_nobodys_fetch() -> None:
    amazon = SlowAmazon(signing.sns_certificate())
    certificates = sns.Certificates(amazon)
    amazon.go.set()
    await certificates.key(certificate_url(0))
    amazon.go.clear()
    foreign = [asyncio.create_task(certificates.key(certificate_url(n))) for n in (1, 2, 3, 3, 3)]
    await eventually(lambda: amazon.asked == [certificate_url(n) for n in range(4)])
    await asyncio.wait_for(certificates.key(certificate_url(0)), 300)
    assert not any(task.done() for task in foreign)
    amazon.go.set()
    await asyncio.gather(*foreign)
    assert len(amazon.asked) == 4
    assert not certificates._locks and not certificates._waiting


@pytest.mark.parametrize("error", [DependencyDownError("down"), SignatureError("none there")])
async def test_an_address_without_a_certificate_is_not_asked_again_for_half_a_minute(
    error: SignatureError | DependencyDownError,
) -> None:
    now = [100.0]
    amazon = Amazon(error)
    certificates = sns.Certificates(amazon, clock=lambda: now[0])
    for _ in range(20):
        with pytest.raises(type(error), match=error.detail):
            await certificates.key(certificate_url(0))
    assert amazon.asked == [certificate_url(0)]
    now[0] += 31
    amazon.answer = signing.sns_certificate()
    await certificates.key(certificate_url(0))
    await certificates.key(certificate_url(0))
    assert amazon.asked == [certificate_url(0)] * 2
