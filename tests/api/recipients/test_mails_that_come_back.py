"""Raw mails by webhook over HTTP: what is in Kafka and in PostgreSQL when they are answered."""

from __future__ import annotations

from tests.api.recipients.hooks import ADDRESS, Hooks
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import ID
from tests.connectors.webhooks import webhook_signing as signing


async def set_up(hooks: Hooks) -> None:
    body = {"secret": signing.STANDARD_SECRET}
    answer = await hooks.rest.admin.put("/tenant/webhooks/dsn", json=body)
    assert answer.status_code == 200, answer.text


def about(message_id: str, raw: bytes) -> signing.Signed:
    return signing.standard(raw.replace(ID.encode(), message_id.encode()))


async def test_a_hard_bounce_suppresses_at_once_and_a_forged_one_does_nothing(
    hooks: Hooks,
) -> None:
    await set_up(hooks)
    message_id = await hooks.message()
    forged = message_id[:-1] + ("0" if message_id[-1] != "0" else "1")
    assert await hooks.post("dsn", about(forged, samples.POSTFIX)) == 204
    assert await hooks.suppressed() == set()
    assert await hooks.post("dsn", about(message_id, samples.POSTFIX_DELAY)) == 204
    assert await hooks.events() == []
    for _ in range(2):
        assert await hooks.post("dsn", about(message_id, samples.POSTFIX)) == 204
    assert await hooks.events() == [("bounced", message_id)] * 2
    assert await hooks.suppressed() == {("email", ADDRESS, "hard-bounce")}


async def test_a_complaint_by_mail_suppresses(hooks: Hooks) -> None:
    await set_up(hooks)
    message_id = await hooks.message()
    assert await hooks.post("dsn", about(message_id, samples.complaint())) == 204
    assert await hooks.suppressed() == {("email", ADDRESS, "complained")}


async def test_a_mail_that_nobody_signed_or_that_is_too_large_is_refused(hooks: Hooks) -> None:
    assert await hooks.post("dsn", about(ID, samples.POSTFIX)) == 404  # not set up
    await set_up(hooks)
    headers, body = about(await hooks.message(), samples.POSTFIX)
    assert await hooks.post("dsn", (headers, body + b"x")) == 401
    assert await hooks.post("dsn", signing.standard(b"x" * (1 << 20 | 1))) == 413
    assert await hooks.events() == []
