"""The owners of audiences, contact details and templates: our own directory, or services of the
company's own (docs/connect/services.md).

A service stays the owner of its data. The part that a campaign needs is mirrored into our tables: a
template and a segment's name when they are named, a segment's members with their details when the
campaign starts. From then on nothing depends on the service: the audience is one SQL statement, and
sending needs PostgreSQL only. Mirroring is idempotent, so after a crash in the middle it starts
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

import msgspec

from connectors.sources.service import DirectoryService, SourceDownError
from streams.contracts.commands import Command, Schedule, Start
from streams.settings import Settings
from tables.contacts import store
from tables.contacts.fields import ContactRow
from tables.contacts.files import rows_of
from tables.database.connection import Work
from tables.directory import mirror
from tables.files.rows import Rejected, Warned

BATCH = 1000  # contacts in one request
_PATIENCE = 10.0  # seconds for what one command names
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Run(Protocol):
    """Does a piece of work in one transaction. A worker's waits for the database
    (`Database.until_up`), a request's does not.
    """

    async def __call__(self, work: Work[T], /) -> T: ...


class NamedSegment(msgspec.Struct, frozen=True):
    """A segment as a segment service names it."""

    id: UUID
    name: str


class SegmentPage(msgspec.Struct, frozen=True, rename="camel"):
    """Some of a segment's contacts, and the position of the next ones."""

    contact_ids: list[UUID]
    next_cursor: str | None = None


class ContactDetails(msgspec.Struct, frozen=True):
    """Contacts as in an import: id, externalId, email, phone, pushToken, firstName, lastName,
    timeZone, locale, attributes.
    """

    contacts: list[dict[str, Any]]


class SourceTemplate(msgspec.Struct, frozen=True):
    """A template as a template service returns it."""

    id: UUID
    name: str
    channel: str
    content: dict[str, str]


class Segments(Protocol):
    """The members of segments. Raises SourceDownError."""

    async def find(self, tenant: str, segment_id: UUID) -> NamedSegment | None: ...

    def members(self, tenant: str, segment_id: UUID) -> AsyncIterator[Sequence[UUID]]: ...


class Contacts(Protocol):
    """The addresses and fields of contacts; unknown ones are left out. Raises SourceDownError."""

    async def find(self, tenant: str, contact_ids: Sequence[UUID]) -> Sequence[dict[str, Any]]: ...


class Templates(Protocol):
    """The contents of templates. Raises SourceDownError."""

    async def find(self, tenant: str, template_id: UUID) -> SourceTemplate | None: ...


class HttpSegments:
    """`GET /segments/{id}` and `GET /segments/{id}/contacts?cursor=`."""

    def __init__(self, service: DirectoryService) -> None:
        self._service = service

    async def find(self, tenant: str, segment_id: UUID) -> NamedSegment | None:
        return await self._service.get(NamedSegment, "segments", str(segment_id), tenantId=tenant)

    async def members(self, tenant: str, segment_id: UUID) -> AsyncIterator[Sequence[UUID]]:
        cursor: str | None = None
        seen = set[int]()  # hashes; cursors that go round in a circle must not be followed for ever
        while True:
            page = await self._service.get(
                SegmentPage, "segments", str(segment_id), "contacts", tenantId=tenant, cursor=cursor
            )
            if page is None:
                return
            yield page.contact_ids
            if page.next_cursor is None:
                return
            if hash(page.next_cursor) in seen:
                raise SourceDownError(
                    f"The segments service gave the same cursor of segment {segment_id} twice."
                )
            seen.add(hash(cursor := page.next_cursor))


class HttpContacts:
    """`POST /contacts/batch` with `{"tenantId","ids"}`, at most 1,000 of them."""

    def __init__(self, service: DirectoryService) -> None:
        self._service = service

    async def find(self, tenant: str, contact_ids: Sequence[UUID]) -> Sequence[dict[str, Any]]:
        found = await self._service.post(
            ContactDetails, "/contacts/batch", {"tenantId": tenant, "ids": contact_ids}
        )
        wanted = set(map(str, contact_ids))
        return (
            [contact for contact in found.contacts if str(contact.get("id", "")).lower() in wanted]
            if found
            else ()
        )


class HttpTemplates:
    """`GET /templates/{id}`."""

    def __init__(self, service: DirectoryService) -> None:
        self._service = service

    async def find(self, tenant: str, template_id: UUID) -> SourceTemplate | None:
        return await self._service.get(
            SourceTemplate, "templates", str(template_id), tenantId=tenant
        )


class Sources:
    """The services in use; None where our own directory is the owner. All methods raise
    DependencyDownError.
    """

    def __init__(self, settings: Settings) -> None:
        urls = {
            "segments": settings.segments_url,
            "contacts": settings.contacts_url,
            "templates": settings.templates_url,
        }
        self._services = {
            name: DirectoryService(name, url, settings) for name, url in urls.items() if url
        }
        self.segments: Segments | None = self._made("segments", HttpSegments)
        self.contacts: Contacts | None = self._made("contacts", HttpContacts)
        self.templates: Templates | None = self._made("templates", HttpTemplates)

    def _made(self, name: str, port: Callable[[DirectoryService], T]) -> T | None:
        return port(self._services[name]) if name in self._services else None

    @property
    def are_used(self) -> bool:
        return bool(self._services)

    def may_ask(self, command: Command) -> bool:
        """Whether `prepare` may have to ask a service for this command."""
        named = command.body.references
        return (
            (self.segments is not None and bool(named.segments))
            or (self.contacts is not None and bool(named.contacts))
            or (
                self.templates is not None
                and (bool(named.templates) or isinstance(command, Schedule | Start))
            )
        )

    async def close(self) -> None:
        """Closes the connections; harmless when no service is in use."""
        for service in self._services.values():
            await service.close()

    async def prepare(self, run: Run, command: Command) -> None:
        """Makes everything known here that a command names, with the templates of this moment,
        before the command is carried out.

        Harmless to repeat, and for a command that is refused afterwards.
        """
        if not self.are_used:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._prepare(run, command)
        except TimeoutError as error:
            raise SourceDownError(
                f"The directory services take longer than {_PATIENCE:.0f} s."
                " Nothing was changed; try again."
            ) from error

    async def _prepare(self, run: Run, command: Command) -> None:
        named = command.body.references
        templates = list(named.templates)
        if isinstance(command, Schedule | Start) and self.templates is not None:
            templates += await run(
                partial(
                    mirror.templates_of, tenant=command.tenant_id, campaign_id=command.campaign_id
                )
            )
        await self.learn(
            run,
            command.tenant_id,
            segments=named.segments,
            templates=templates,
            contacts=named.contacts,
        )

    async def learn(
        self,
        run: Run,
        tenant: str,
        *,
        segments: Iterable[UUID] = (),
        templates: Iterable[UUID] = (),
        contacts: Iterable[UUID] = (),
    ) -> None:
        """Mirrors the names of segments, the contents of templates and the unknown contacts that a
        command names, where a service owns them.

        An id that a service does not know stays unknown here, too, and the command's own rules
        refuse it.
        """
        if self.segments is not None:
            for segment_id in dict.fromkeys(segments):
                if segment := await self.segments.find(tenant, segment_id):
                    await run(
                        partial(
                            mirror.keep_segment,
                            tenant=tenant,
                            segment_id=segment.id,
                            name=segment.name,
                        )
                    )
        if self.templates is not None:
            for template_id in dict.fromkeys(templates):
                if template := await self.templates.find(tenant, template_id):
                    await run(
                        partial(
                            mirror.keep_template,
                            tenant=tenant,
                            template_id=template.id,
                            **_columns(template),
                        )
                    )
        if self.contacts is not None and (wanted := list(dict.fromkeys(contacts))):
            await self._keep_contacts(
                run,
                tenant,
                await run(partial(store.unknown, tenant=tenant, contact_ids=wanted)),
            )

    async def synchronise(self, run: Run, tenant: str, number: int) -> None:
        """Gives the mirrored segments of a campaign their members and details of this moment,
        before its audience is made.

        Memory does not grow with the audience. Does nothing for a campaign whose audience is known.
        """
        if self.segments is None:
            return
        for segment_id in await run(partial(mirror.segments_of, tenant=tenant, number=number)):
            reading = uuid4()
            async for contact_ids in self.segments.members(tenant, segment_id):
                await self._keep_contacts(run, tenant, contact_ids)
                await run(partial(mirror.add_members, reading=reading, contact_ids=contact_ids))
            await run(
                partial(
                    mirror.replace_members, tenant=tenant, segment_id=segment_id, reading=reading
                )
            )

    async def _keep_contacts(self, run: Run, tenant: str, contact_ids: Sequence[UUID]) -> None:
        if self.contacts is None:
            return
        for start in range(0, len(contact_ids), BATCH):
            found = await self.contacts.find(tenant, contact_ids[start : start + BATCH])
            rows = [
                row
                for line, contact in enumerate(found, 1)
                if (row := _row(line, contact)) is not None
            ]
            if rows:
                await run(partial(mirror.keep_contacts, tenant=tenant, rows=rows))


def _columns(template: SourceTemplate) -> dict[str, Any]:
    return {"name": template.name, "channel": template.channel, "content": template.content}


def _row(line: int, contact: dict[str, Any]) -> ContactRow | None:
    row = None
    for found in rows_of(line, contact):
        if isinstance(found, ContactRow):
            row = found
        elif isinstance(found, Rejected | Warned):
            what = "cannot be used" if isinstance(found, Rejected) else "is used without a field"
            _log.warning("a contact of the contacts service %s: %s", what, found.reason)
    return row
