"""The agent on `campaigns.commands.v1`: the same lifecycle as REST, for upstream services, with a
result for every command.

Effects in order: the SQL transaction (row, events, remembered answer), then the Kafka transaction
(result, position). Killed between the two, the command is read again and gets the remembered answer
by its correlationId, so nothing happens twice and the result is the same. A command that waits for
a directory service is parked (`parking`), so that it holds up its own tenant only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_never
from uuid import UUID, uuid5

from agents.sending.parking import Arrival, Parking
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
from tables.throttle.faust_tables import sent_of

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
    """The id of the result of the command at this position: a repeat of the transaction has the
    same.
    """
    return uuid5(_IDS, f"{topic}-{partition}-{offset}")


class Commands:
    """The agent and its connections. While PostgreSQL is down it waits in place."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app, self._settings, self._topics = app, settings, Topics(settings)
        self._database = Database(settings, "campaigns-commands", max_size=4)
        self._sources, self._parking = Sources(settings), Parking(app)

    async def body(self, tx: Transaction) -> None:
        """Carry the commands out, one after the other. A command that meets a bug becomes a dead
        letter: it must not stop every tenant of its partition, again and again.
        """
        is_idle = True
        for event in tx.events:
            try:
                is_idle &= not await self._command(tx, event)
            except Exception:  # noqa: BLE001
                _log.exception(
                    "a command was put aside because of a bug",
                    extra={"partition": tx.partition, "offset": event.message.offset},
                )
                tx.dead_letter(
                    event,
                    "the command could not be carried out because of a bug; it was logged",
                    "bug",
                )
        if not is_idle:
            tx.rest = 0.0
        crash_point("carried-out", "commands")

    async def _command(self, tx: Transaction, event: Any) -> bool:
        """False when the command waits for a directory service."""
        parsed = parse(event.value, _header(event.message.headers, "type"))
        match parsed:
            case Unreadable(reason, code):
                tx.dead_letter(event, reason, code)
            case Refused(envelope, kind, error):
                kind = ascii(kind)[1:-1][:100]
                answer = Answer(error.status, refusal=Refusal.of(error))
                here = Arrival(event.message.offset, event.message.timestamp, is_parked=False)
                self._send(tx, here, envelope.tenant_id, envelope.correlation_id, kind, answer)
            case Command() as command:
                arrival = self._parking.arrival(command.tenant_id, event)
                command = replace(command, at=datetime.now(UTC))
                if (carried := await self._carry_out(tx, arrival, command)) is None:
                    self._parking.park(tx, command.tenant_id, arrival, event)
                    return False
                self._parking.leave(tx, command.tenant_id, arrival)
                who = command.tenant_id, command.correlation_id
                self._send(tx, arrival, *who, f"campaign.{command.verb}", carried)
            case _:
                assert_never(parsed)
        return True

    async def _carry_out(
        self, tx: Transaction, arrival: Arrival, command: Command
    ) -> Answer | None:
        """None when the command has to wait."""
        database, key = self._database, command.correlation_id
        question = partial(self._sources.prepare, database.until_up, command)
        asks = self._sources.may_ask(command)
        try:
            check_subjects(command.body)
            if not await self._parking.is_ready(
                tx, command.tenant_id, arrival, question if asks else None
            ):
                return None
        # also a service that is down: the command may be sent again
        except CampaignError as error:
            # a command that was carried out before a crash, or before the service went down, keeps
            # its answer
            known = await database.until_up(
                lambda session: known_answer(session, command, scope="command", key=key)
            )
            return known or Answer(error.status, command.campaign_id, refusal=Refusal.of(error))
        answer = await database.until_up(
            lambda session: execute(
                session, self._settings, command, scope="command", key=key, sent=self._sent
            )
        )
        for change in answer.changes:
            change.log()
        return answer

    def _sent(self, tenant: str, number: int) -> int:
        """Messages sent so far, as far as this worker's throttle knows."""
        return sent_of(self._app, tenant, number)

    def _send(
        self,
        tx: Transaction,
        arrival: Arrival,
        tenant: str,
        correlation_id: str,
        command: str,
        answer: Answer,
    ) -> None:
        at = datetime.fromtimestamp(arrival.at, UTC)
        identity = str(result_id(tx.topic, tx.partition, arrival.offset)).encode()
        tx.send(
            self._topics.name(Name.COMMAND_RESULTS),
            self._topics.partition(tenant),
            tenant.encode(),
            result(tenant, correlation_id, command, answer, at),
            [("type", _RESULT.encode()), ("id", identity)],
        )


def _header(headers: Sequence[tuple[str, bytes | None]] | None, name: str) -> str:
    values = (value for key, value in headers or () if key == name and value is not None)
    return next((value.decode("utf-8", "replace") for value in values), "")


def commands(app: App, settings: Settings) -> Body:
    """The body of the agent on `campaigns.commands.v1`."""
    return Commands(app, settings).body
