"""API keys, on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from streams.errors import CampaignError, ConflictError, NotFoundError
from tables.database.connection import Session
from tables.tenants import api_keys


async def test_a_key_names_tenant_user_and_role_and_is_stored_as_a_hash(
    session: Session,
) -> None:
    user = uuid4()
    key = await api_keys.create_key(session, "acme", role="editor", user_id=user, is_live=False)
    assert key.text.startswith("ce_test_")
    assert await api_keys.verify(session, key.text) == api_keys.Caller(
        "acme", user, "editor", key.id
    )
    stored = str((await session.execute(text("SELECT * FROM api_keys"))).mappings().all())
    assert key.text.rpartition("_")[2] not in stored


async def test_only_the_whole_key_verifies_and_only_while_it_is_valid(
    session: Session,
) -> None:
    key = await api_keys.create_key(session, "acme")
    wrong = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    for other in (
        wrong,
        key.text + "0",
        key.text.upper(),
        "",
        "ce_live__",
        "ce_live_" + "0" * 16 + "_" + "0" * 64,
        key.text + "\n",
    ):
        assert await api_keys.verify(session, other) is None
    past = await api_keys.create_key(
        session, "acme", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    assert await api_keys.verify(session, past.text) is None
    with pytest.raises(NotFoundError):
        await api_keys.revoke_key(session, "other", key.id)
    await api_keys.revoke_key(session, "acme", key.id)
    assert await api_keys.verify(session, key.text) is None


async def test_a_key_for_nobody_is_refused(session: Session) -> None:
    with pytest.raises(NotFoundError):
        await api_keys.create_key(session, "nobody")
    with pytest.raises(CampaignError):
        await api_keys.create_key(session, "acme", role="owner")


async def test_after_a_rotation_the_secret_before_it_is_good_for_its_grace(
    session: Session,
) -> None:
    key = await api_keys.create_key(session, "acme")
    newer = await api_keys.rotate_key(session, "acme", key.id, timedelta(hours=1))
    for valid in (key.text, newer):
        assert (await api_keys.verify(session, valid)) is not None
    listed = await api_keys.get_key(session, "acme", key.id)
    assert listed.previous_expires_at is not None
    newest = await api_keys.rotate_key(session, "acme", key.id, timedelta(0))
    for gone in (key.text, newer):
        assert await api_keys.verify(session, gone) is None
    assert await api_keys.verify(session, newest) is not None
    assert (await api_keys.get_key(session, "acme", key.id)).previous_expires_at is None
    await api_keys.revoke_key(session, "acme", key.id)
    with pytest.raises(ConflictError):
        await api_keys.rotate_key(session, "acme", key.id, timedelta(0))
    with pytest.raises(NotFoundError):
        await api_keys.rotate_key(session, "other", key.id, timedelta(0))


async def test_the_last_good_admin_key_cannot_be_revoked(session: Session) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await api_keys.create_key(session, "acme", expires_at=past)
    first, second = [await api_keys.create_key(session, "acme") for _ in range(2)]
    await api_keys.retire_key(session, "acme", first.id)
    await api_keys.retire_key(session, "acme", first.id)
    with pytest.raises(ConflictError):
        await api_keys.retire_key(session, "acme", second.id)
    with pytest.raises(NotFoundError):
        await api_keys.retire_key(session, "other", second.id)


async def test_keys_are_listed_in_pages_without_their_secrets(session: Session) -> None:
    made = [await api_keys.create_key(session, "acme", name=f"key {n}") for n in range(3)]
    keys, total = await api_keys.list_keys(session, "acme", limit=2, offset=1)
    assert total == 3
    # keys of one transaction have one time, so the id decides
    assert [key.id for key in keys] == sorted(key.id for key in made)[1:]
    assert "sha256" not in str(keys)
    assert await api_keys.list_keys(session, "other") == ([], 0)
