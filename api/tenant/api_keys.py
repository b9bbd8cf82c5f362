"""`/api-keys`: who may call, for admins. A key is shown once; a forgotten one is rotated."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.campaigns.answers import success
from api.campaigns.routes import IdempotencyKey
from api.directory.schemas import KeyCreate, KeyRotate
from api.http.auth import Admin
from api.http.idempotency import first_answer
from api.http.json_bodies import JsonRoute
from api.http.paging import PageNumber, PageSize, pages, shown
from streams.errors import ConflictError
from tables.database.connection import Connection, once
from tables.tenants.api_keys import get_key, list_keys, retire_key, rotate_key
from tables.tenants.tenants import Caller, create_key

router = APIRouter(prefix="/api-keys", tags=["api-keys"], route_class=JsonRoute)
KeyId = Annotated[
    str,
    Path(
        alias="keyId",
        pattern="^[0-9a-f]{16}$",
        description="16 hexadecimal digits, also the middle of the key",
    ),
]
_SECRET = "apiKey"


@router.post("", status_code=201)
async def create(
    request: Request,
    response: Response,
    who: Admin,
    body: KeyCreate,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Make a key; `apiKey` is shown this once. A repeat with the same Idempotency-Key is 409 and
    names the key that was made.
    """

    async def work(connection: Connection) -> dict[str, Any]:
        made = await create_key(
            connection,
            who.tenant_id,
            role=body.role,
            user_id=body.user_id,
            expires_at=body.expires_at,
            name=body.name,
        )
        return await _with_secret(connection, who, made.id, made.text)

    content = {"create": "api-key", **body.model_dump(mode="json")}
    return _once(
        response,
        await first_answer(request, who.tenant_id, idempotency_key, content, work, secret=_SECRET),
    )


@router.get("")
async def page(
    request: Request, who: Admin, page: PageNumber = 1, page_size: PageSize = 20
) -> dict[str, Any]:
    """The tenant's keys without their secrets, newest first, expired and revoked ones included."""
    found, total = await once(
        request.app.state.pool,
        lambda connection: list_keys(
            connection, who.tenant_id, limit=page_size, offset=(page - 1) * page_size
        ),
    )
    return pages(
        [shown(key, isCurrent=key.id == who.key_id) for key in found], page, page_size, total
    )


@router.post("/{keyId}/rotate")
async def rotate(
    request: Request,
    response: Response,
    who: Admin,
    key_id: KeyId,
    body: KeyRotate,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Give the key a new secret, shown this once. The old one is good for `gracePeriod` more, a day
    if nothing is said.
    """

    async def work(connection: Connection) -> dict[str, Any]:
        text = await rotate_key(connection, who.tenant_id, key_id, body.grace_period)
        return await _with_secret(connection, who, key_id, text)

    content = {"rotate": key_id, **body.model_dump(mode="json")}
    return _once(
        response,
        await first_answer(request, who.tenant_id, idempotency_key, content, work, secret=_SECRET),
    )


@router.delete("/{keyId}", status_code=204, response_class=Response)
async def revoke(request: Request, who: Admin, key_id: KeyId) -> None:
    """Revoke a key at once. A key may revoke itself, and then this was its last request; the last
    good admin key is 409.
    """
    await once(
        request.app.state.pool, lambda connection: retire_key(connection, who.tenant_id, key_id)
    )


async def _with_secret(
    connection: Connection, who: Caller, key_id: str, text: str
) -> dict[str, Any]:
    return shown(
        await get_key(connection, who.tenant_id, key_id), isCurrent=key_id == who.key_id
    ) | {_SECRET: text}


def _once(response: Response, made: dict[str, Any]) -> dict[str, Any]:
    """Raises ConflictError for a repeat: a secret that is kept to be shown again would be one no
    longer.
    """
    if _SECRET not in made:
        raise ConflictError(
            f"This Idempotency-Key made the secret of {made['id']}, which is not shown again; rotate it with a new one."
        )
    response.headers["Cache-Control"] = "no-store"
    return success(made)
