"""Messages to an address of the tenant's own, checked by the receiver of the standard's library."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import Answer, Request
from connectors.delivery.providers.webhook import Webhook
from connectors.webhooks import standard
from connectors.webhooks.delivery import Delivery, SignatureError
from streams.contracts.routes import RouteSettings, WebhookRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials
from tests.connectors.delivery.providers.given import ID, email, text

NOW = datetime(2026, 11, 1, 12, 5, tzinfo=UTC)
KEY = f"whsec_{b64encode(b'the key that signs the requests.').decode()}"


def webhook(batch: int = 1) -> Webhook:
    given = {"channel": "email", "provider": "webhook", "url": "https://acme.example/take?v=1"}
    made = RouteSettings.model_validate(given | {"batch": batch, "fromDomains": ["acme.example"]})
    assert isinstance(made, WebhookRoute)
    return Webhook(made, Credentials("", KEY))


def _verified(request: Request, now: datetime = NOW, key: str = KEY) -> None:
    headers = {name.lower(): value for name, value in request.headers.items()}
    standard.verify(Delivery(headers, request.body), key, now, timedelta(minutes=5))


def test_the_receiver_can_verify_who_sent_it_and_when() -> None:
    for batch in (1, 10):
        request = webhook(batch).request([email()], NOW)
        assert request.url == "https://acme.example/take?v=1" and request.method == "POST"
        _verified(request)
        with pytest.raises(SignatureError):
            _verified(request, NOW + timedelta(hours=1))
        with pytest.raises(SignatureError):
            _verified(request, key=f"whsec_{b64encode(b'x' * 32).decode()}")


def test_the_signature_is_the_one_of_the_standard() -> None:
    # github.com/standard-webhooks/standard-webhooks, libraries/python/tests
    key = standard.key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = standard.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("batch", [1, 10])
def test_a_message_is_the_same_bytes_under_the_same_id_in_every_try(batch: int) -> None:
    first = webhook(batch).request([email()], NOW)
    again = webhook(batch).request([email()], NOW + timedelta(hours=5))
    assert first.body == again.body
    same = ("Idempotency-Key", "webhook-id")
    assert [first.headers[name] for name in same] == [again.headers[name] for name in same]
    assert first.headers["webhook-timestamp"] != again.headers["webhook-timestamp"]


def test_the_body_has_the_message_as_the_pipeline_has_it() -> None:
    for message in (email(), text(), text("whatsapp"), text("push", sender=None)):
        request = webhook().request([message], NOW)
        event = msgspec.json.decode(request.body)
        assert (event["type"], event["timestamp"]) == ("message", message.created_at)
        assert msgspec.convert(event["data"], Message) == message
        assert request.headers["Idempotency-Key"] == ID
    both = [email(), text(message_id="another")]
    batch = msgspec.json.decode(webhook(2).request(both, NOW).body)
    assert batch["type"] == "messages"
    assert msgspec.convert(batch["data"], list[Message]) == both


def test_another_batch_has_another_id() -> None:
    one, two = email(), email(message_id="another")
    tries = [[one], [two], [one, two], [two, one]]
    keys = {webhook(2).request(each, NOW).headers["Idempotency-Key"] for each in tries}
    assert len(keys) == 4 and all(len(key) == 38 for key in keys)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b"", Verdict.ACCEPTED),
        (204, b"", Verdict.ACCEPTED),
        (202, b"queued", Verdict.ACCEPTED),
        (200, b"{not json", Verdict.ACCEPTED),
        (200, b"[]", Verdict.ACCEPTED),
        (200, b'{"results": []}', Verdict.ACCEPTED),
        (200, b'{"results": {"messageId": "%b", "status": "bounced"}}' % ID.encode(), Verdict.HARD),
        (200, b'{"results": [{"messageId": "another"}]}', Verdict.PROTOCOL),
        (500, b'{"results": [{"messageId": "%b", "status": "accepted"}]}' % ID.encode(), "doubt"),
        (400, b"", Verdict.CONTENT),
        (401, b"", Verdict.CONFIGURATION),
        (404, b"", Verdict.CONFIGURATION),
        (410, b"", Verdict.PROTOCOL),
        (429, b"", Verdict.THROTTLED),
        (503, b"", Verdict.THROTTLED),
    ],
)
def test_an_answer_is_of_its_status_unless_it_has_results(
    status: int, body: bytes, verdict: Verdict | str
) -> None:
    wanted = Verdict.DOUBT if verdict == "doubt" else verdict
    for batch, count in product((1, 2), (1, 2)):
        found = webhook(batch).read(Answer(status, {}, body), [email()] * count)
        assert [one.verdict for one in found] == [wanted] * count


@pytest.mark.parametrize("secret", ["", "short", "whsec_", "whsec_%%%", "whsec_" + "YQ==" * 2])
def test_a_key_in_another_spelling_is_refused(secret: str) -> None:
    route = RouteSettings.model_validate(
        {"channel": "push", "provider": "webhook", "url": "https://acme.example"}
    )
    assert isinstance(route, WebhookRoute)
    with pytest.raises(ValueError, match=r"whsec_|bytes"):
        Webhook(route, Credentials("", secret))
