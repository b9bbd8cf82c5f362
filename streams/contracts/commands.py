"""Commands: the requests that REST and `campaigns.commands.v1` have in common, and the reading of
one from a Kafka record. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, get_type_hints
from uuid import UUID

import msgspec

from streams.contracts.ab_tests import AbTest, Winner
from streams.contracts.bodies import (
    CampaignCreate,
    CampaignSchedule,
    CampaignUpdate,
    Explanation,
    validated,
)
from streams.contracts.events import Cause
from streams.contracts.fields import Extra
from streams.contracts.triggers import CampaignTrigger
from streams.errors import CampaignError, FieldError, broken

Commanded = (
    CampaignCreate
    | CampaignUpdate
    | CampaignSchedule
    | CampaignTrigger
    | AbTest
    | Winner
    | Explanation
)
TENANT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LONGEST_ID = 128


def version_tag(version: int) -> str:
    """The ETag of a campaign, which counts its versions: `"3"`."""
    return f'"{version}"'


class Verb(StrEnum):
    """The verbs of a campaign; `campaign.<verb>` is the type of the Kafka command."""

    CREATE = "create"
    UPDATE = "update"
    SCHEDULE = "schedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    DELETE = "delete"
    TRIGGER = "trigger"
    AB_TEST = "ab-test.create"
    WINNER = "ab-test.declare-winner"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One request, of a person, a service or a job; a class for each verb. Only Create needs an
    `actor`, a user.

    `if_match`: the versions of which the campaign must have one; None: any. `extra`: whether
    unknown settings are refused or ignored.
    """

    verb: ClassVar[Verb]
    tenant_id: str
    correlation_id: str
    campaign_id: UUID | None = None
    body: Commanded
    actor: UUID | None = None
    if_match: frozenset[int] | None = None
    extra: Extra = "forbid"
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def cause(self) -> Cause:
        """The request, for the events that follow from it."""
        return Cause(self.correlation_id, self.at)

    def content(self) -> dict[str, Any]:
        """The fields that two equal commands have in common: not the time, not the correlation."""
        body = self.body.model_dump(mode="json", by_alias=True, exclude_unset=True)
        actor = str(self.actor) if self.verb is Verb.CREATE else None
        versions = None if self.if_match is None else sorted(self.if_match)
        return {
            "verb": self.verb,
            "campaignId": str(self.campaign_id),
            "body": body,
            "actor": actor,
            # one is remembered as a number, as when a command could name one only
            "ifMatch": versions[0] if versions and len(versions) == 1 else versions,
        }


@dataclass(frozen=True, kw_only=True)
class Create(Command):
    verb = Verb.CREATE
    body: CampaignCreate


@dataclass(frozen=True, kw_only=True)
class ToCampaign(Command):
    """A command to a campaign that exists."""

    campaign_id: UUID


@dataclass(frozen=True, kw_only=True)
class Explained(ToCampaign):
    """A command that needs no more than the campaign, and may come with a reason."""

    body: Explanation = field(default_factory=Explanation)


@dataclass(frozen=True, kw_only=True)
class Update(ToCampaign):
    verb = Verb.UPDATE
    body: CampaignUpdate


@dataclass(frozen=True, kw_only=True)
class Schedule(ToCampaign):
    verb = Verb.SCHEDULE
    body: CampaignSchedule


class Start(Explained):
    verb = Verb.START


class Pause(Explained):
    verb = Verb.PAUSE


class Resume(Explained):
    verb = Verb.RESUME


class Cancel(Explained):
    verb = Verb.CANCEL


@dataclass(frozen=True, kw_only=True)
class Delete(Explained):
    """`may_cancel`: whether the caller's role allows what deleting a scheduled campaign does."""

    verb = Verb.DELETE
    may_cancel: bool = True


@dataclass(frozen=True, kw_only=True)
class Trigger(ToCampaign):
    """`is_once`: another one with its correlation id is a repeat of it. Callers of REST without an
    `Idempotency-Key` say no such thing: gateways give one id to all requests of a session.
    """

    verb = Verb.TRIGGER
    is_once: bool = True
    body: CampaignTrigger


@dataclass(frozen=True, kw_only=True)
class CreateAbTest(ToCampaign):
    verb = Verb.AB_TEST
    body: AbTest


@dataclass(frozen=True, kw_only=True)
class DeclareWinner(ToCampaign):
    verb = Verb.WINNER
    body: Winner


_CLASSES = (
    Create,
    Update,
    Schedule,
    Start,
    Pause,
    Resume,
    Cancel,
    Delete,
    Trigger,
    CreateAbTest,
    DeclareWinner,
)
COMMANDS: Mapping[Verb, type[Command]] = {kind.verb: kind for kind in _CLASSES}
BODIES: Mapping[Verb, type[Commanded]] = {
    verb: get_type_hints(kind)["body"] for verb, kind in COMMANDS.items()
}


class Incoming(msgspec.Struct, rename="camel", frozen=True):
    """The envelope of a command as it must at least be to get an answer."""

    tenant_id: str
    correlation_id: str
    data: dict[str, Any]
    type: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A record without an address for an answer: a dead letter. `reason` is for people, `code` for
    counters.
    """

    reason: str
    code: str


@dataclass(frozen=True)
class Refused:
    """A command that cannot be carried out, in an envelope that can be answered."""

    envelope: Incoming
    type: str
    error: CampaignError


_decode = msgspec.json.Decoder(Incoming).decode


def parse(value: bytes | None, type_header: str = "") -> Command | Refused | Unreadable:
    """A record of `campaigns.commands.v1`; its type is in the header or, without one, in the
    envelope. Raises nothing.
    """
    if not value:
        return Unreadable("the record is empty", "empty")
    try:
        envelope = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        is_json = isinstance(error, msgspec.ValidationError)
        return Unreadable(
            f"not an envelope: {error}" if is_json else "not JSON",
            "envelope" if is_json else "json",
        )
    if wrong := _wrong(envelope):
        return Unreadable(wrong, "envelope")
    kind = type_header or envelope.type
    try:
        return _command(envelope, kind)
    except CampaignError as error:
        return Refused(envelope, kind, error)


def _wrong(envelope: Incoming) -> str:
    if not TENANT_ID.fullmatch(envelope.tenant_id):
        return "tenantId is not the name of a tenant"
    if not 1 <= len(envelope.correlation_id) <= _LONGEST_ID or "\0" in envelope.correlation_id:
        return f"correlationId must have 1 to {_LONGEST_ID} characters, without NUL"
    return ""


def _command(envelope: Incoming, kind: str) -> Command:
    try:
        verb = Verb(kind.removeprefix("campaign.")) if kind.startswith("campaign.") else Verb("")
    except ValueError as error:
        known = ", ".join(f"campaign.{verb}" for verb in Verb)
        raise broken(FieldError("type", f"no such command; there are {known}")) from error
    data = dict(envelope.data)
    identity = "createdBy" if verb is Verb.CREATE else "campaignId"
    subject = _uuid(data.pop(identity, None), identity)
    return COMMANDS[verb](
        tenant_id=envelope.tenant_id,
        correlation_id=envelope.correlation_id,
        campaign_id=None if verb is Verb.CREATE else subject,
        body=validated(BODIES[verb], data, "ignore"),
        actor=subject if verb is Verb.CREATE else None,
        extra="ignore",
    )


def _uuid(value: object, name: str) -> UUID:
    try:
        if isinstance(value, str):
            return UUID(value)
    except ValueError:
        pass
    raise broken(FieldError(name, "must be a UUID"))
