"""`/api-keys`: the keys of a tenant, for admins. A key is shown once; a lost one is rotated."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Path, Response

from api.http.auth import Acting, Admin
from api.http.dependencies import Transaction
from api.http.envelope import Page, Success, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage
from api.http.preconditions.conditions import Conditions, ToEdit, ToMake, ToShow
from api.http.preconditions.entity_tags import row_tag
from api.tenant.schemas import KeyCreate, KeyRotate, ListedKey, NewKey
from streams.errors import ConflictError
from tables.database.connection import Session
from tables.tenants.api_keys import (
    Caller,
    create_key,
    get_key,
    key_row,
    list_keys,
    lock_key,
    retire_key,
    rotate_key,
)

router = APIRouter(prefix="/api-keys", tags=["api-keys"], route_class=JsonRoute)
KeyId = Annotated[
    str,
    Path(
        alias="keyId",
        pattern="^[0-9a-f]{16}$",
        description="16 hexadecimal digits, also the middle of the key",
    ),
]


@router.post("", status_code=201)
async def create(
    who: Admin, by: Acting, body: KeyCreate, once: Once, conditions: ToMake
) -> Success[NewKey]:
    """Make a key; `apiKey` is shown this once. A repeat with the same Idempotency-Key is 409 and
    names the key that was made.
    """

    async def work(session: Session) -> NewKey:
        fields = body.model_dump(include={"role", "user_id", "expires_at", "name"})
        made = await create_key(session, who.tenant_id, **fields, by=by)
        return await _with_secret(session, who, made.id, made.text, conditions)

    content = {"create": "api-key", **body.model_dump(mode="json")}
    made = await once.answer(who.tenant_id, content, work, _refuse_repeat, keep=_without_key)
    return success(made)


@router.get("")
async def page(who: Admin, transaction: Transaction, wanted: ByPage) -> Page[ListedKey]:
    """The tenant's keys without their secrets, newest first, expired and revoked ones included."""
    found, total = await list_keys(
        transaction, who.tenant_id, limit=wanted.size, offset=wanted.offset
    )
    return wanted.of(
        [ListedKey.of_row(key, is_current=key.id == who.key_id) for key in found], total
    )


@router.get("/{keyId}")
async def one(
    who: Admin, transaction: Transaction, key_id: KeyId, conditions: ToShow
) -> Success[ListedKey]:
    """One key without its secrets."""
    key = await get_key(transaction, who.tenant_id, key_id)
    conditions.show(row_tag(await key_row(transaction, who.tenant_id, key_id)))
    return success(ListedKey.of_row(key, is_current=key_id == who.key_id))


@router.post("/{keyId}/rotate")
async def rotate(
    who: Admin, by: Acting, key_id: KeyId, body: KeyRotate, once: Once, conditions: ToEdit
) -> Success[NewKey]:
    """Give the key a new secret, shown this once. The old one is good for `gracePeriod` more, a day
    if nothing is said.
    """

    async def work(session: Session) -> NewKey:
        await conditions.check(partial(lock_key, session, who.tenant_id, key_id))
        text = await rotate_key(session, who.tenant_id, key_id, body.grace_period, by)
        return await _with_secret(session, who, key_id, text, conditions)

    content = {"rotate": key_id, **body.model_dump(mode="json")}
    made = await once.answer(who.tenant_id, content, work, _refuse_repeat, keep=_without_key)
    return success(made)


@router.delete("/{keyId}", status_code=204, response_class=Response)
async def revoke(
    who: Admin, by: Acting, transaction: Transaction, key_id: KeyId, conditions: ToEdit
) -> None:
    """Revoke a key at once. A key may revoke itself, and then this was its last request; the last
    good admin key is 409.
    """
    await conditions.check(partial(lock_key, transaction, who.tenant_id, key_id))
    await retire_key(transaction, who.tenant_id, key_id, by)


async def _with_secret(
    session: Session, who: Caller, key_id: str, text: str, conditions: Conditions
) -> NewKey:
    conditions.tag(await key_row(session, who.tenant_id, key_id))
    key = await get_key(session, who.tenant_id, key_id)
    return NewKey.of_row(key, is_current=key_id == who.key_id, api_key=text)


def _without_key(made: NewKey) -> dict[str, Any]:
    return made.model_dump(mode="json", by_alias=True, exclude={"api_key"})


def _refuse_repeat(made: dict[str, Any]) -> NoReturn:
    """Raises ConflictError: a secret that is kept to be shown again would be one no longer."""
    raise ConflictError(
        f"This Idempotency-Key made the secret of {made['id']}, which is not shown again; "
        "rotate it with a new one."
    )
