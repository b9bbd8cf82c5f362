"""The routes of a tenant: put, paused, resumed and removed.

Credentials are sealed at rest (tables/tenants/seals.py) and never shown, the user's name among
them: at some providers it is the token. A put without credentials keeps those that are stored, but
only for the server that they were given for: a route that is turned to another server does not take
them there.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import ColumnElement, delete, func, inspect, select, update
from sqlalchemy.dialects import postgresql

from streams.contracts.routes import RouteSettings, bounces_of
from streams.errors import ConflictError, FieldError, NotFoundError, broken
from streams.settings import Settings
from tables.database.connection import Session
from tables.models import Route
from tables.tenants.audit import ENGINE, Action, Author, note
from tables.tenants.seals import Seal
from tables.tenants.tenants import lock_tenant

MOST_ROUTES = 20  # of a tenant
#: Stands behind a route's name, which has no stroke, in that of the secret of its mailbox: so that
#: neither of the two opens in the other's place.
MAILBOX = "/bounces.imap"
_PURPOSE = b"campaigns: routes"


class Credentials(msgspec.Struct, frozen=True):
    """The tenant's name and password at a provider; the name is empty where a key or token says it
    all. The representation shows neither.
    """

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials()"


def sealing(settings: Settings) -> Seal[Credentials]:
    """Closes and opens them with the installation's message keys."""
    return Seal(settings, _PURPOSE, Credentials)


def settings_of(route: Route) -> RouteSettings:
    """The settings that the row holds."""
    stored = route.settings | {"channel": route.channel, "provider": route.provider}
    return RouteSettings.model_validate(stored)


def is_set(route: Route) -> list[str]:
    """The names of the credentials that are stored."""
    if route.sealed is None:
        return []
    return list(RouteSettings.kinds[route.provider].needs or Credentials.__struct_fields__)


def opened(seal: Seal[Credentials], route: Route) -> Credentials | None:
    """The credentials of the row; None where the provider asks for none. Raises SealError."""
    return None if route.sealed is None else seal.open(route.sealed, route.tenant_id, route.name)


def opened_mailbox(seal: Seal[Credentials], route: Route) -> Credentials | None:
    """The credentials of the mailbox of its bounces; None without one. Raises SealError."""
    sealed = route.sealed_mailbox
    return None if sealed is None else seal.open(sealed, route.tenant_id, route.name + MAILBOX)


async def put(
    session: Session,
    seal: Seal[Credentials],
    tenant: str,
    name: str,
    settings: RouteSettings,
    credentials: Credentials | None,
    by: Author = ENGINE,
    *,
    mailbox: Credentials | None = None,
) -> Route:
    """Set a route up, or replace its settings; a paused one stays paused. Without credentials those
    that are stored stay, and likewise without those of the mailbox that its bounces come to.

    Raises NotFoundError for an unknown tenant, ConflictError when it has MOST_ROUTES others, and
    CampaignError when stored credentials would go to another server than before, or there are none
    and the provider needs some.
    """
    before = await lock(session, tenant, name)
    if before is None:
        await _check_room(session, tenant)
    given = None if credentials is None else seal.close(credentials, tenant, name)
    sealed = given or _kept(before, settings)
    if sealed is None and settings.needs:
        rule = f"must be given: {settings.provider} lets nobody in without"
        raise broken(*(FieldError(field, rule) for field in settings.needs))
    sealed_mailbox = (
        _kept_mailbox(before, settings)
        if mailbox is None
        else seal.close(mailbox, tenant, name + MAILBOX)
    )
    # a worker of the version before reads no route that has a member which it does not know
    unset = set() if bounces_of(settings) is not None else {"bounces"}
    hidden = {"channel", "provider"} | unset
    shown = settings.model_dump(mode="json", by_alias=True, exclude=hidden)
    new = postgresql.insert(Route).values(
        tenant_id=tenant,
        name=name,
        channel=settings.channel,
        provider=settings.provider,
        settings=shown,
        sealed=sealed,
        sealed_mailbox=sealed_mailbox,
    )
    columns = ("channel", "provider", "settings", "sealed", "sealed_mailbox")
    replaced = {column: new.excluded[column] for column in columns}
    made = await session.first(
        new.on_conflict_do_update(
            index_elements=inspect(Route).primary_key,
            set_=replaced | {"updated_at": func.now()},
        ).returning(Route)
    )
    assert made is not None
    details = settings.told | {"newCredentials": credentials is not None}
    await note(session, tenant, by, Action.ROUTE_SET, subject=name, details=details)
    return made


async def has_any(session: Session, settings: Settings, tenant: str, channel: str) -> bool:
    """Whether messages of the channel that begin now leave by the tenant's routes: it has one, a
    paused one perhaps, and CAMPAIGNS_ROUTES does not turn them off.
    """
    if settings.routes == "off":
        return False
    of_it = select(Route.name).where(Route.tenant_id == tenant, Route.channel == channel)
    return await session.scalar(of_it.limit(1)) is not None


async def of_tenants(session: Session, tenants: Collection[str]) -> list[Route]:
    """All routes of these tenants."""
    return await session.every(select(Route).where(Route.tenant_id.in_(tenants)))


async def with_bounces(session: Session) -> list[Route]:
    """The routes of all tenants that have a domain for bounces."""
    domain = Route.settings["bounces"]["domain"].astext
    return await session.every(select(Route).where(domain.is_not(None)).order_by(Route.tenant_id))


async def list_routes(
    session: Session, tenant: str, *, limit: int = MOST_ROUTES, offset: int = 0
) -> tuple[list[Route], int]:
    """A page, by name, and how many there are."""
    mine = select(Route).where(Route.tenant_id == tenant)
    return await session.page(mine.order_by(Route.name), limit, offset)


async def get_route(session: Session, tenant: str, name: str) -> Route:
    """Raises NotFoundError."""
    found = await session.first(select(Route).where(_is(tenant, name)))
    return _known(found, name)


async def lock(session: Session, tenant: str, name: str) -> Route | None:
    """The route, if there is one; no other transaction sets it up, changes or removes it until this
    one ends. Raises NotFoundError for an unknown tenant.
    """
    await lock_tenant(session, tenant)
    return await session.first(select(Route).where(_is(tenant, name)).with_for_update())


async def lock_known(session: Session, tenant: str, name: str) -> Route:
    """`lock` of a route that is set up. Raises NotFoundError."""
    return _known(await lock(session, tenant, name), name)


async def pause(session: Session, tenant: str, name: str, by: Author = ENGINE) -> Route:
    """Nothing is handed to the route until it is resumed; one that is paused stays as it is. Raises
    NotFoundError.
    """
    before = await lock_known(session, tenant, name)
    if before.paused_at is not None:
        return before
    pausing = update(Route).where(_is(tenant, name)).values(paused_at=func.now())
    after = _known(await session.first(pausing.returning(Route)), name)
    await note(session, tenant, by, Action.ROUTE_PAUSED, subject=name)
    return after


async def resume(session: Session, tenant: str, name: str, by: Author = ENGINE) -> Route:
    """The opposite of `pause`; one that is not paused stays as it is. Raises NotFoundError."""
    before = await lock_known(session, tenant, name)
    if before.paused_at is None:
        return before
    resuming = update(Route).where(_is(tenant, name)).values(paused_at=None)
    after = _known(await session.first(resuming.returning(Route)), name)
    await note(session, tenant, by, Action.ROUTE_RESUMED, subject=name)
    return after


async def note_check(session: Session, route: Route, status: str, by: Author = ENGINE) -> None:
    """Note that the credentials of the route were used, and how that ended."""
    details = {"host": settings_of(route).told["host"], "status": status}
    action, subject = Action.ROUTE_CHECKED, route.name
    await note(session, route.tenant_id, by, action, subject=subject, details=details)


async def remove(session: Session, tenant: str, name: str, by: Author = ENGINE) -> None:
    """Forget the route and its credentials. Raises NotFoundError."""
    if not await session.changed(delete(Route).where(_is(tenant, name))):
        raise _unknown(name)
    await note(session, tenant, by, Action.ROUTE_REMOVED, subject=name)


def _kept(before: Route | None, settings: RouteSettings) -> bytes | None:
    """The stored credentials, if the settings lead to the server that they were given for."""
    if before is None or before.sealed is None:
        return None
    known = settings_of(before)
    if known.destination != settings.destination:
        host, port, tls = known.server
        raise broken(
            FieldError(
                "password",
                "must be given again, with the username if there is one: what is stored was given"
                f" for {known.provider} at {host}:{port} with tls {tls}, and is not sent anywhere"
                " else",
            )
        )
    return before.sealed


def _kept_mailbox(before: Route | None, settings: RouteSettings) -> bytes | None:
    """The stored credentials of the mailbox, if it is still that one; None without a mailbox."""
    bounces = bounces_of(settings)
    wanted = None if bounces is None else bounces.imap
    if wanted is None:
        return None
    known = None if before is None else bounces_of(settings_of(before))
    there = None if known is None or known.imap is None else known.imap.destination
    if before is None or before.sealed_mailbox is None or there != wanted.destination:
        raise broken(
            FieldError(
                "bounces.imap.password",
                "must be given, with the username: nothing is stored for this server, and what is"
                " stored for another one is not sent there",
            )
        )
    return before.sealed_mailbox


async def _check_room(session: Session, tenant: str) -> None:
    of_it = select(func.count()).where(Route.tenant_id == tenant)
    if (count := await session.scalar(of_it) or 0) >= MOST_ROUTES:
        raise ConflictError(
            f"The tenant has {count} routes, the limit is {MOST_ROUTES}; remove one first."
        )


def _is(tenant: str, name: str) -> ColumnElement[bool]:
    return (Route.tenant_id == tenant) & (Route.name == name)


def _known(route: Route | None, name: str) -> Route:
    if route is None:
        raise _unknown(name)
    return route


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"There is no route {name}.")
