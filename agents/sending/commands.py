"""The agent on `campaigns.commands.v1`: the same lifecycle as REST, for upstream services, with a
result for every command.

Effects in order: the SQL transaction (row, events, remembered answer), then the Kafka transaction
(result, position). Killed between the two, the command is read again and gets the remembered answer
by its correlationId, so nothing happens twice and the result is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, assert_never
from uuid import UUID, uuid5

from connectors.sources.sources import Sources
from connectors.templates.subject_checks import check_subjects
from streams.contracts.commands import Command, Refused, Unreadable, parse
from streams.contracts.envelope import Envelope, encode, rfc3339
from streams.errors import CampaignError
from streams.exactly_once.agents import Body
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.commands.answers import Answer, Refusal
from tables.commands.execute import execute, known_answer
from tables.database.connection import Database
from tables.throttle.faust_tables import SENDING
from tables.throttle.state import decode_tenant

_RESULT = "campaign.command-result"
_IDS = UUID("0b9f6a0c-3f43-5b1c-8f5e-6a3f2f6d8e51")  # namespace of result ids
_log = logging.getLogger(__name__)


def result(tenant: str, correlation_id: str, command: str, answer: Answer, at: datetime) -> bytes:
    """The value of a record of `campaigns.command-results.v1` (design: wire.md, section 3)."""
    data: dict[str, Any] = {"command": command, "accepted": answer.refusal is None}
    if answer.campaign_id is not None:
        data["campaignId"] = str(answer.campaign_id)
    if answer.outcome is not None:
        data["outcome"] = answer.outcome
    if answer.refusal is not None:
        data["error"] = {**answer.refusal.problem(), "correlationId": correlation_id}
    return encode(
        Envelope(
            tenant_id=tenant,
            correlation_id=correlation_id,
            timestamp=rfc3339(at),
            data=data,
            type=_RESULT,
        )
    )


def result_id(topic: str, partition: int, offset: int) -> UUID:
    """Of the result of the command at this position: a repeat of the transaction has the same."""
    return uuid5(_IDS, f"{topic}-{partition}-{offset}")


def commands(app: App, settings: Settings) -> Body:
    """The body of the agent. While PostgreSQL is down it waits in place."""
    database, sources = Database(settings, "campaigns-commands", max_size=4), Sources(settings)
    topics = Topics(settings)

    def sent(tenant: str, number: int) -> int:
        rows = app.tables.transactional[SENDING].data if SENDING in app.tables.transactional else {}
        campaign = decode_tenant(rows[tenant]).campaigns.get(number) if tenant in rows else None
        return campaign.sent if campaign else 0

    async def carry_out(command: Command) -> Answer:
        key = command.correlation_id
        try:
            check_subjects(command.body)
            await sources.prepare(database.until_up, command)
        # a service that is down, too: waiting would hold up everybody, and the command may be sent
        # again
        except CampaignError as error:
            refused = Answer(error.status, command.campaign_id, refusal=Refusal.of(error))
            # what was carried out before a crash, or before the service went down, is not refused
            # now
            return (
                await database.until_up(
                    lambda connection: known_answer(connection, command, scope="command", key=key)
                )
                or refused
            )
        answer = await database.until_up(
            lambda connection: execute(
                connection, settings, command, scope="command", key=key, sent=sent
            )
        )
        for change in answer.changes:
            change.log()
        return answer

    async def one(tx: Transaction, event: Any) -> None:
        parsed = parse(event.value, _header(event.message.headers, "type"))
        at = datetime.fromtimestamp(event.message.timestamp, UTC)
        match parsed:
            case Unreadable(reason, code):
                tx.dead_letter(event, reason, code)
                return
            case Refused(envelope, kind, error):
                tenant, correlation_id, kind = (
                    envelope.tenant_id,
                    envelope.correlation_id,
                    ascii(kind)[1:-1][:100],
                )
                answer = Answer(error.status, refusal=Refusal.of(error))
            case Command():
                tenant, correlation_id, kind = (
                    parsed.tenant_id,
                    parsed.correlation_id,
                    f"campaign.{parsed.verb}",
                )
                answer = await carry_out(replace(parsed, at=datetime.now(UTC)))
            case _:
                assert_never(parsed)
        identity = str(result_id(tx.topic, tx.partition, event.message.offset)).encode()
        headers = [("type", _RESULT.encode()), ("id", identity)]
        value = result(tenant, correlation_id, kind, answer, at)
        tx.send(
            topics.name(Name.COMMAND_RESULTS),
            topics.partition(tenant),
            tenant.encode(),
            value,
            headers,
        )

    async def body(tx: Transaction) -> None:
        for event in tx.events:
            try:
                await one(tx, event)
            except Exception:  # noqa: BLE001
                # one command that trips over a bug must not stop every tenant of its partition,
                # again and again
                _log.exception(
                    "a command was put aside because of a bug",
                    extra={"partition": tx.partition, "offset": event.message.offset},
                )
                tx.dead_letter(
                    event,
                    "the command could not be carried out because of a bug; it was logged",
                    "bug",
                )
        crash_point("carried-out", "commands")

    return body


def _header(headers: Sequence[tuple[str, bytes | None]] | None, name: str) -> str:
    return next(
        (
            value.decode("utf-8", "replace")
            for key, value in headers or ()
            if key == name and value is not None
        ),
        "",
    )
