"""Amazon SNS, which carries the reports of SES: its envelope and its signature (versions 1 and 2).

docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. The certificate's address is
pinned to SNS's own hosts, fetched over https without following redirects, and kept. SNS repeats a
message for hours with its first, signed timestamp. So its age is not limited: an outage must lose
nothing, and a repeat counts nothing twice.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

import httpx
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import load_pem_x509_certificate

from connectors.webhooks.delivery import SignatureError, equal
from streams.errors import CampaignError, DependencyDownError

# A region is words and a number: sns.s3-eu-west-1.amazonaws.com would be a bucket that anybody can
# name sns.
_CERTIFICATE = re.compile(
    r"https://sns\.[a-z]{2,20}(?:-[a-z]{1,20}){1,3}-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?"
    r"/SimpleNotificationService-[0-9A-Za-z]{1,80}\.pem",
    re.ASCII,
)
TOPIC_ARN = re.compile(
    r"arn:aws(?:-[a-z-]{1,20})?:sns:[a-z0-9-]{3,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}", re.ASCII
)
_OF_CONFIRMATIONS = (
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _OF_CONFIRMATIONS,
    "UnsubscribeConfirmation": _OF_CONFIRMATIONS,
}
_HASHES = {"1": SHA1, "2": SHA256}
_KEPT = 20  # certificates; a region has one at a time
_LARGEST = 64 << 10  # bytes of a certificate
_TIMEOUT = 5.0  # seconds
_REFUSED = 30.0  # seconds for which an address without a certificate is not asked again
_MOST_REFUSED = 1_000
Fetch = Callable[[str], Awaitable[bytes]]


class Envelope(msgspec.Struct, frozen=True, rename="pascal"):
    """A message as SNS posts it. `Message` is text; that of SES is JSON."""

    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(default=None, name="SubscribeURL")

    def signed(self) -> bytes:
        """Returns the text that the signature covers. Raises SignatureError for a type that SNS
        does not send.
        """
        if (names := _SIGNED.get(self.type)) is None:
            raise SignatureError("SNS sends no such type.")
        values = {
            "Message": self.message,
            "MessageId": self.message_id,
            "Subject": self.subject,
            "SubscribeURL": self.subscribe_url,
            "Timestamp": self.timestamp,
            "Token": self.token,
            "TopicArn": self.topic_arn,
            "Type": self.type,
        }
        return "".join(
            f"{name}\n{values[name]}\n" for name in names if values[name] is not None
        ).encode("utf-8", "replace")


class Certificates:
    """SNS's signing keys by the address of their certificates, each fetched once. `fetch` returns
    the PEM of an address.

    A key that is known waits for nothing, and a fetch only for another one of the same address. An
    address that could not be read is not asked again for 30 s.
    """

    def __init__(
        self, fetch: Fetch | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch, self._clock = fetch or fetched, clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting = Counter[str]()
        self._keys: OrderedDict[str, rsa.RSAPublicKey] = OrderedDict()
        self._refused: OrderedDict[str, tuple[float, CampaignError]] = OrderedDict()

    async def key(self, url: str) -> rsa.RSAPublicKey:
        """Raises SignatureError for an address that is none of SNS's or leads to no certificate,
        and DependencyDownError.
        """
        if not _CERTIFICATE.fullmatch(url):
            raise SignatureError("The certificate's address is none of Amazon SNS.")
        if (known := self._keys.get(url)) is not None:
            return known
        lock = self._locks.setdefault(url, asyncio.Lock())
        self._waiting[url] += 1
        try:
            async with lock:  # one fetch of an address at a time, however many webhooks wait for it
                return self._keys.get(url) or await self._fetched(url)
        finally:
            self._waiting[url] -= 1
            if not self._waiting[url]:
                del self._waiting[url], self._locks[url]

    async def _fetched(self, url: str) -> rsa.RSAPublicKey:
        until, error = self._refused.get(url, (0.0, None))
        if error is not None and self._clock() < until:
            raise type(error)(error.detail)
        try:
            key = _public_key(await self._fetch(url))
        except (SignatureError, DependencyDownError) as error:
            self._refused[url] = (self._clock() + _REFUSED, error)
            self._refused.move_to_end(url)
            if len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)
            raise
        self._refused.pop(url, None)
        self._keys[url] = key
        if len(self._keys) > _KEPT:
            self._keys.popitem(last=False)
        return key


async def verify(
    envelope: Envelope, topic_arns: tuple[str, ...], certificates: Certificates
) -> None:
    """Raises SignatureError, also for a topic that is not allowed, and DependencyDownError."""
    if not any(
        equal(envelope.topic_arn, allowed) for allowed in topic_arns
    ):  # before anything is fetched
        raise SignatureError("The topic is not one of the allowed ones.")
    if (digest := _HASHES.get(envelope.signature_version)) is None:
        raise SignatureError("The signature version is unknown.")
    signed, key = envelope.signed(), await certificates.key(envelope.signing_cert_url)
    try:
        key.verify(
            base64.b64decode(envelope.signature, validate=True),
            signed,
            padding.PKCS1v15(),
            digest(),
        )
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise SignatureError("The signature does not fit the message.") from error


def _public_key(pem: bytes) -> rsa.RSAPublicKey:
    try:
        key = load_pem_x509_certificate(pem).public_key()
    except ValueError as error:
        raise SignatureError("The certificate cannot be read.") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise SignatureError("The certificate has no RSA key.")
    return key


async def fetched(url: str) -> bytes:
    """Fetches an address that the caller has checked. Raises SignatureError,
    DependencyDownError.
    """
    try:
        async with (
            httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code >= 500:
                raise DependencyDownError("Amazon SNS does not give its certificate. Try again.")
            if answer.status_code != 200:
                raise SignatureError("There is no certificate at this address.")
            pem = b""
            async for piece in answer.aiter_bytes():
                pem += piece
                if len(pem) > _LARGEST:
                    raise SignatureError("The certificate is too large to be one.")
            return pem
    except httpx.HTTPError as error:
        raise DependencyDownError("Amazon SNS does not give its certificate. Try again.") from error
