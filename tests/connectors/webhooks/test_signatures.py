"""Who may speak for a provider: the providers' own test vectors, and what must not pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.webhooks import mailgun, sendgrid, ses, sns, standard, twilio, whatsapp
from connectors.webhooks.delivery import Delivery, SignatureError
from connectors.webhooks.forms import UnparsableError
from connectors.webhooks.providers import PROVIDERS, Check, checked, spelled
from streams.errors import CampaignError
from streams.settings import Settings
from tables.tenants.seals import Seal, SealError
from tables.tenants.webhook_secrets import WebhookSecret, sealing
from tests.connectors.webhooks import webhook_signing as signing

TOLERANCE = timedelta(minutes=5)
NOW = datetime.now(UTC)
_SENDGRID_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpV"
    "KS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
_SENDGRID_SIGNATURE = (
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqH"
    "h89M15TluLtEZtM="
)


def delivery(
    signed: signing.Signed, url: str = "", query: dict[str, str] | None = None
) -> Delivery:
    headers, body = signed
    return Delivery(
        {name.lower(): value for name, value in headers.items()}, body, url, query or {}
    )


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def test_sendgrids_own_example_verifies() -> None:
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A"
        ".filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    body = (json.dumps([event], sort_keys=True, separators=(",", ":")) + "\r\n").encode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": _SENDGRID_SIGNATURE,
        "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
    }
    sendgrid.verify(delivery((headers, body)), _SENDGRID_KEY, at(1600112502), TOLERANCE)
    with pytest.raises(SignatureError):
        sendgrid.verify(
            delivery((headers, body.rstrip())), _SENDGRID_KEY, at(1600112502), TOLERANCE
        )
    assert (
        sendgrid.read(delivery((headers, body)), NOW).ignored == 1
    )  # not one of ours: it has no id


def test_the_example_of_standard_webhooks_verifies() -> None:
    # github.com/standard-webhooks/standard-webhooks, libraries/python/tests
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    example = delivery((headers, b'{"test": 2432232314}'))
    standard.verify(example, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", at(1614265330), TOLERANCE)
    with pytest.raises(SignatureError):
        standard.verify(
            example, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", at(1614265330), TOLERANCE
        )


def test_twilios_own_example_verifies() -> None:
    # twilio.com/docs/usage/security, "Validating signatures from Twilio"
    form = (
        "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234"
        "&From=%2B12349013030&To=%2B18005551212"
    )
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    example = delivery(({"X-Twilio-Signature": "0/KCTR6DLpKmkAf8muzZqo1nDgQ="}, form.encode()), url)
    twilio.verify(example, "12345")
    with pytest.raises(SignatureError):
        twilio.verify(
            delivery(
                ({"X-Twilio-Signature": "0/KCTR6DLpKmkAf8muzZqo1nDgQ="}, form.encode()),
                url + "&x=1",
            ),
            "12345",
        )


_TWILIO_URL = "https://campaigns.example/webhooks/twilio/acme?messageId=1"
Verify = Callable[[Delivery], object]
_SIGNED: dict[str, tuple[signing.Signed, Verify]] = {
    "sendgrid": (
        signing.sendgrid([{"event": "open"}]),
        lambda one: sendgrid.verify(one, signing.sendgrid_key(), NOW, TOLERANCE),
    ),
    "mailgun": (
        signing.mailgun({"event": "opened"}),
        lambda one: mailgun.verify(one, signing.SECRET, NOW, TOLERANCE),
    ),
    "twilio": (
        signing.twilio(_TWILIO_URL, {"MessageStatus": "sent"}),
        lambda one: twilio.verify(one, signing.SECRET),
    ),
    "whatsapp": (
        signing.whatsapp({"statuses": []}),
        lambda one: whatsapp.verify(one, signing.SECRET),
    ),
    "standard": (
        signing.standard([]),
        lambda one: standard.verify(one, signing.STANDARD_SECRET, NOW, TOLERANCE),
    ),
}


@pytest.mark.parametrize("name", _SIGNED)
def test_a_webhook_without_its_signature_or_with_another_one_is_refused(name: str) -> None:
    (headers, body), verify = _SIGNED[name]
    verify(delivery((headers, body), _TWILIO_URL))
    if name != "mailgun":  # whose signature is in the body
        for wrong in (
            {},
            dict.fromkeys(headers, "é"),
            {header: value[:-3] + "AA=" for header, value in headers.items()},
        ):
            with pytest.raises(SignatureError):
                verify(delivery((wrong, body), _TWILIO_URL))
        with pytest.raises(SignatureError):
            verify(delivery((headers, body.replace(b"e", b"f", 1) + b"x=1"), _TWILIO_URL))
    else:
        for wrong_secret in ("", "another"):
            with pytest.raises(SignatureError):
                verify(delivery(signing.mailgun({"event": "opened"}, secret=wrong_secret)))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sendgrid", "The signature does not fit the body."),
        ("mailgun", "The signature does not fit the timestamp and the token."),
        (
            "twilio",
            "The signature does not fit address and fields."
            " Is CAMPAIGNS_PUBLIC_URL the address that Twilio calls?",
        ),
        ("whatsapp", "The signature does not fit the body."),
        ("standard", "No signature fits id, timestamp and body."),
    ],
)
def test_a_refusal_says_what_the_signature_should_fit(name: str, sentence: str) -> None:
    """The operator who sets a provider up reads it in the provider's list of failed calls."""
    body = signing.mailgun({}, secret="another")[1] if name == "mailgun" else b""
    with pytest.raises(SignatureError) as refused:
        _SIGNED[name][1](delivery(({}, body)))
    assert refused.value.detail == sentence


# Beyond the tolerance lies the time for which the provider repeats its first signature.
_OLDEST = {"sendgrid": 25 * 3600, "mailgun": 9 * 3600, "standard": 0}


@pytest.mark.parametrize("name", _OLDEST)
def test_a_repeat_with_the_first_signature_is_taken_as_long_as_the_provider_sends_it(
    name: str,
) -> None:
    now = datetime.now(UTC)
    for signed_at in (now.timestamp() - _OLDEST[name] - 290, now.timestamp() + 290):
        make: Callable[..., signing.Signed] = getattr(signing, name)
        late = delivery(make({"event": "open"} if name == "mailgun" else [], at=signed_at))
        _TIMED[name](late, now)


_TIMED: dict[str, Callable[[Delivery, datetime], object]] = {
    "sendgrid": lambda one, now: sendgrid.verify(one, signing.sendgrid_key(), now, TOLERANCE),
    "mailgun": lambda one, now: mailgun.verify(one, signing.SECRET, now, TOLERANCE),
    "standard": lambda one, now: standard.verify(one, signing.STANDARD_SECRET, now, TOLERANCE),
}


@pytest.mark.parametrize("seconds", [-301, 302, 10**11])
@pytest.mark.parametrize("name", ["sendgrid", "mailgun", "standard"])
def test_a_signed_time_further_than_the_tolerance_is_refused(name: str, seconds: int) -> None:
    seconds -= _OLDEST[name] if seconds < 0 else 0
    make: Callable[..., signing.Signed] = getattr(signing, name)
    old = delivery(
        make({"event": "open"} if name == "mailgun" else [], at=NOW.timestamp() + seconds)
    )
    with pytest.raises(SignatureError, match="too long ago"):
        _SIGNED[name][1](old)


def test_a_mailgun_token_names_the_event_whatever_the_order_of_its_fields() -> None:
    one, same = (
        {"event": "opened", "timestamp": 1, "url": "x"},
        {"url": "x", "timestamp": 1, "event": "opened"},
    )
    signed_at = NOW.timestamp()  # this file may have been read long before this test runs
    first, second, other = (
        mailgun.verify(delivery(signing.mailgun(event, signed_at)), signing.SECRET, NOW, TOLERANCE)
        for event in (one, same, {**one, "url": "y"})
    )
    assert first == second and first[0] == other[0] and first[1] != other[1]


def test_a_sealed_secret_opens_with_the_key_of_its_epoch_for_its_tenant_and_provider_alone() -> (
    None
):
    def seal(*keys: str) -> Seal[WebhookSecret]:
        return sealing(
            Settings(kafka="", postgres="", nats="", message_keys=tuple(map(SecretStr, keys)))
        )

    secret = _GOOD["whatsapp"]
    sealed = seal("00" * 32).close(secret, "acme", "whatsapp")
    assert seal("00" * 32, "01" * 32).open(sealed, "acme", "whatsapp") == secret
    assert seal("00" * 32, "01" * 32).close(secret, "acme", "whatsapp")[0] == 1
    for other, tenant, provider in (
        ("01", "acme", "whatsapp"),
        ("00", "globex", "whatsapp"),
        ("00", "acme", "twilio"),
    ):
        with pytest.raises(SealError):
            seal(other * 32).open(sealed, tenant, provider)
    for broken in (b"", b"\x07" + sealed[1:], sealed[:-1], sealed[:5]):
        with pytest.raises(SealError):
            seal("00" * 32).open(broken, "acme", "whatsapp")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1", b"\xff\xfe", b"[" * 20_000, b'{"signature": 1}', b'"text"']
)
@pytest.mark.parametrize("name", ["ses", "mailgun"])
def test_what_is_no_webhook_cannot_be_parsed(name: str, body: bytes) -> None:
    with pytest.raises(UnparsableError):
        if name == "ses":
            ses.envelope(delivery(({}, body)))
        else:
            mailgun.verify(delivery(({}, body)), signing.SECRET, NOW, TOLERANCE)


def test_the_challenge_of_meta_comes_back_for_the_right_token_only() -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "right", "hub.challenge": "1158201444"}
    assert whatsapp.challenge(query, "right") == "1158201444"
    for wrong in ({**query, "hub.verify_token": "wrong"}, {**query, "hub.mode": "x"}, {}):
        with pytest.raises(SignatureError):
            whatsapp.challenge(wrong, "right")


_GOOD: dict[str, WebhookSecret] = {
    "ses": WebhookSecret(topic_arns=(signing.TOPIC,)),
    "sendgrid": WebhookSecret(public_key=_SENDGRID_KEY),
    "mailgun": WebhookSecret(secret="key"),
    "twilio": WebhookSecret(secret="token"),
    "whatsapp": WebhookSecret(secret="app", verify_token="chosen"),
    "standard": WebhookSecret(secret=signing.STANDARD_SECRET),
}


def test_every_provider_takes_what_it_needs_and_nothing_else() -> None:
    assert set(_GOOD) == set(PROVIDERS)
    every: dict[str, Any] = {
        "secret": "s",
        "public_key": "p",
        "verify_token": "v",
        "topic_arns": ("t",),
    }
    for name, good in _GOOD.items():
        assert checked(name, good) is good
        with pytest.raises(CampaignError):
            checked(name, WebhookSecret())
        with pytest.raises(CampaignError, match="does not use it"):
            checked(
                name,
                WebhookSecret(
                    **{field: every[field] for field in every if field not in good.fields},
                    **_as_dict(good),
                ),
            )


def _as_dict(secret: WebhookSecret) -> dict[str, Any]:
    return {field: getattr(secret, field) for field in secret.fields}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ses", WebhookSecret(topic_arns=("arn:aws:sqs:eu-central-1:123456789012:x",))),
        ("ses", WebhookSecret(topic_arns=(signing.TOPIC,) * 21)),
        ("sendgrid", WebhookSecret(public_key="no key")),
        ("sendgrid", WebhookSecret(public_key="é")),
        ("standard", WebhookSecret(secret="whsec_c2hvcnQ=")),
        ("mailgun", WebhookSecret(secret="a\0b")),
    ],
    ids=["no topic", "too many topics", "no key", "no ASCII", "short key", "NUL"],
)
def test_settings_that_cannot_be_right_are_refused(name: str, wrong: WebhookSecret) -> None:
    with pytest.raises(CampaignError):
        checked(name, wrong)


def test_a_secret_shows_nothing_of_itself() -> None:
    assert "app" not in repr(_GOOD["whatsapp"]) and "chosen" not in f"{_GOOD['whatsapp']!r}"
    assert signing.SECRET not in repr(
        Delivery({"x": signing.SECRET}, signing.SECRET.encode(), signing.SECRET)
    )


def _refusals(name: str, secret: WebhookSecret) -> dict[str, str]:
    with pytest.raises(CampaignError) as refused:
        checked(name, secret)
    assert refused.value.detail == "; ".join(
        f"{wrong.field}: {wrong.message}" for wrong in refused.value.errors
    )
    found = [wrong.field for wrong in refused.value.errors]
    assert found == sorted(found)
    return {wrong.field: wrong.message for wrong in refused.value.errors}


def test_every_wrong_field_is_named_as_the_api_spells_it() -> None:
    assert _refusals("whatsapp", WebhookSecret(public_key="x", topic_arns=("t",))) == {
        "secret": "whatsapp needs it",
        "verifyToken": "whatsapp needs it",
        "publicKey": "whatsapp does not use it",
        "topicArns": "whatsapp does not use it",
    }
    assert _refusals("sendgrid", WebhookSecret(public_key="no key")) == {
        "publicKey": "no public key in base64 DER or PEM"
    }
    assert _refusals("standard", WebhookSecret(secret="whsec_c2hvcnQ=")) == {
        "secret": "24 to 64 bytes"
    }
    assert _refusals("ses", WebhookSecret(topic_arns=("x",))) == {
        "topicArns": "1 to 20 of arn:aws:sns:<region>:<account>:<topic>"
    }


def test_a_field_has_at_most_4_000_characters_and_there_are_at_most_20_topics() -> None:
    assert checked("twilio", WebhookSecret(secret="x" * 4_000))
    assert _refusals("twilio", WebhookSecret(secret="x" * 4_001)) == {
        "secret": "at most 4,000 characters, without NUL"
    }
    assert _refusals("whatsapp", WebhookSecret(secret="s", verify_token="\0")) == {
        "verifyToken": "at most 4,000 characters, without NUL"
    }
    assert checked("ses", WebhookSecret(topic_arns=(signing.TOPIC,) * 20))


def test_fields_are_spelled_as_the_api_spells_them() -> None:
    assert {name: spelled(provider.fields) for name, provider in PROVIDERS.items()} == {
        "ses": ["topicArns"],
        "sendgrid": ["publicKey"],
        "mailgun": ["secret"],
        "twilio": ["secret"],
        "whatsapp": ["secret", "verifyToken"],
        "standard": ["secret"],
    }


_READ: dict[str, bytes] = {
    "ses": signing.sns({}, "SubscriptionConfirmation")[1],
    "sendgrid": b"[1]",
    "mailgun": signing.mailgun({"event": 7})[1],
    "twilio": b"MessageStatus=sent",
    "whatsapp": signing.whatsapp({"statuses": [1]})[1],
    "standard": b"[1]",
}


@pytest.mark.parametrize("name", _READ)
async def test_each_provider_of_the_table_verifies_with_its_own_settings_and_reads(
    name: str,
) -> None:
    """What is read shows whose reader it is: each finds its own form and no more."""
    found = PROVIDERS[name].read(delivery(({}, _READ[name])), NOW, ())
    assert (found.asked is not None) + found.ignored + found.unusable == 1
    check = Check(_GOOD[name], NOW, TOLERANCE, sns.Certificates())
    with pytest.raises((SignatureError, UnparsableError)):
        await PROVIDERS[name].verify(delivery(({}, b"{}")), check)


@pytest.mark.parametrize("name", _SIGNED)
async def test_each_provider_of_the_table_takes_what_it_has_signed(name: str) -> None:
    (headers, body), _ = _SIGNED[name]
    secrets = {
        "sendgrid": WebhookSecret(public_key=signing.sendgrid_key()),
        "standard": WebhookSecret(secret=signing.STANDARD_SECRET),
    }
    secret = secrets.get(name, WebhookSecret(secret=signing.SECRET))
    check = Check(secret, NOW, TOLERANCE, sns.Certificates())
    verified = await PROVIDERS[name].verify(delivery((headers, body), _TWILIO_URL), check)
    assert bool(verified.token) == bool(verified.meaning) == (name == "mailgun")
