"""The tenant for which a task acts: the rows that its units of work can see and write, where the
database keeps them to one (`Database(by_tenant=True)`).

A task that says nothing acts for no tenant, and finds no rows. Tasks that it starts act as it did
when it started them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: The setting of a session that the policies read (SQL function `acting_tenant`).
SETTING = "campaigns.tenant"
NOBODY, EVERYBODY = "", "*"
_tenant = ContextVar[str | None]("acting tenant", default=NOBODY)


def wanted() -> str | None:
    """The value that the setting must have for this task; None when any will do."""
    return _tenant.get()


def act_for(tenant: str) -> None:
    """From here on this task acts for the tenant. Raises ValueError for what is no tenant's
    name.
    """
    if tenant in (NOBODY, EVERYBODY):
        raise ValueError(f"no tenant has the name {tenant!r}")
    _tenant.set(tenant)


@contextmanager
def acting_for(tenant: str) -> Iterator[None]:
    """`act_for` within the block."""
    with _acting(_tenant.get()):
        act_for(tenant)
        yield


@contextmanager
def for_nobody() -> Iterator[None]:
    """Within the block this task begins by acting for no tenant."""
    with _acting(NOBODY):
        yield


@contextmanager
def every_tenant() -> Iterator[None]:
    """Within the block the rows of all tenants are seen: for a look-up that finds out whose
    something is.
    """
    with _acting(EVERYBODY):
        yield


@contextmanager
def finding_out_who_calls() -> Iterator[None]:
    """Within the block any setting will do, so that none has to be sent: for statements that touch
    only tables which every tenant's requests may read (`policies.READ_BY_ALL`, `policies.NONE`).
    """
    with _acting(None):
        yield


@contextmanager
def _acting(tenant: str | None) -> Iterator[None]:
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(token)
