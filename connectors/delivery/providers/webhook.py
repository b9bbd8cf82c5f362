"""A tenant's own address, which takes messages as signed requests (standardwebhooks.com).

The body is `{"type": "message", "timestamp", "data"}`, where `data` is the message as
`pipeline.messages.v1` has it, or with a `batch` above 1 `{"type": "messages", "timestamp", "data":
[…]}`. The same messages have the same bytes in every try; the signature has the time of the try.
`Idempotency-Key` and `webhook-id` are the message's id, or one made of the ids of the batch. A
receiver that does something once for each `messageId` does it exactly once.

A 2xx takes them all, unless the answer is `{"results": [{"messageId", "status", "reason"}, …]}`:
then `status`, `accepted`, `deferred`, `failed` or `bounced`, speaks for its message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.webhooks import standard
from streams.contracts.routes import WebhookRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

_STATUSES: Mapping[str, Verdict] = MappingProxyType(
    {
        "accepted": Verdict.ACCEPTED,
        "deferred": Verdict.DEFERRED,
        "failed": Verdict.CONTENT,
        "bounced": Verdict.HARD,
    }
)


class Webhook:
    """The receiver of one route."""

    #: Longer than any message is tried: a receiver remembers ids for as long as it likes.
    window = timedelta(days=7)

    def __init__(self, route: WebhookRoute, credentials: Credentials) -> None:
        """Raises ValueError for a key in another spelling than the standard's."""
        self.batch = route.batch
        self._url, self._key = route.url, standard.key(credentials.password)

    def request(self, messages: Sequence[Message], now: datetime) -> Request:
        first = messages[0]
        identity, body = first.message_id, encode(_event("message", first.created_at, first))
        if self.batch > 1:
            ids = " ".join(one.message_id for one in messages)
            identity = f"batch_{sha256(ids.encode()).hexdigest()[:32]}"
            body = encode(_event("messages", first.created_at, list(messages)))
        timestamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": JSON,
            "Idempotency-Key": identity,
            "webhook-id": identity,
            "webhook-timestamp": timestamp,
            "webhook-signature": standard.signature(self._key, identity, timestamp, body),
        }
        return Request(self._url, body, headers)

    def read(self, answer: Answer, messages: Sequence[Message]) -> list[Meaning]:
        results = {one.text("messageId"): one for one in answer.form.forms("results")}
        if not 200 <= answer.status < 300 or not results:
            return [meaning(answer)] * len(messages)
        found = []
        for message in messages:
            said = results.get(message.message_id)
            verdict = _STATUSES.get(said.text("status")) if said is not None else None
            words = said.text("reason") if said is not None else "no result for the message"
            found.append(meaning(answer, words, verdict=verdict or Verdict.PROTOCOL))
        return found


def _event(kind: str, timestamp: str, data: object) -> dict[str, object]:
    return {"type": kind, "timestamp": timestamp, "data": data}
