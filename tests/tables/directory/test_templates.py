"""Templates on a real PostgreSQL, and the rules of their content."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from streams.errors import CampaignError, ConflictError, NotFoundError
from tables.database.connection import Session
from tables.directory import templates
from tables.models import Campaign, CampaignVariant


@pytest.mark.parametrize(
    ("channel", "content"),
    [
        ("email", {"subject": "Hi", "html": "<p>x</p>"}),
        ("email", {"subject": "Hi", "html": "<p>x</p>", "text": "x"}),
        ("sms", {"text": "x"}),
        ("whatsapp", {"text": "x"}),
        ("push", {"title": "t", "body": "b", "link": "https://example.com"}),
    ],
)
async def test_a_template_keeps_what_fits_its_channel(
    session: Session, channel: str, content: dict[str, str]
) -> None:
    made = await templates.create_template(session, "acme", "Welcome", channel, content)
    assert (made.channel, made.content) == (channel, content)
    assert await templates.get_template(session, "acme", made.id) == made
    assert await _listed(session) == ([made.id], 1)
    with pytest.raises(NotFoundError):
        await templates.get_template(session, "other", made.id)


@pytest.mark.parametrize(
    ("channel", "content", "fields"),
    [
        ("email", {}, ["content.subject", "content"]),
        ("email", {"subject": "", "html": "x"}, ["content.subject"]),
        (
            "email",
            {"subject": "x" * 501, "text": "x", "title": "x"},
            ["content.subject", "content.title"],
        ),
        ("sms", {"text": 1}, ["content.text"]),
        ("sms", {"text": "a\0b"}, ["content.text"]),
        ("push", {"title": "t"}, ["content.body"]),
        ("fax", {"text": "x"}, ["channel"]),
    ],
)
def test_content_that_does_not_fit_names_every_wrong_field(
    channel: str, content: dict[str, str], fields: list[str]
) -> None:
    with pytest.raises(CampaignError) as refused:
        templates.check_content(channel, content)
    assert [error.field for error in refused.value.errors] == fields


async def test_a_template_keeps_what_a_change_does_not_name(session: Session) -> None:
    made = await templates.create_template(session, "acme", "T", "sms", {"text": "a"})
    named = await templates.change_template(session, "acme", made.id, name=" N ")
    assert (named.name, named.content) == ("N", {"text": "a"})
    changed = await templates.change_template(session, "acme", made.id, content={"text": "b"})
    assert (changed.name, changed.content) == ("N", {"text": "b"})
    assert await templates.get_template(session, "acme", made.id) == changed
    with pytest.raises(CampaignError):
        await templates.change_template(session, "acme", made.id, content={"html": "b"})
    with pytest.raises(NotFoundError):
        await templates.change_template(session, "other", made.id, name="N")


async def _listed(
    session: Session, *, channel: str | None = None, search: str | None = None
) -> tuple[list[UUID], int]:
    """The ids of a list, whose rows have no contents."""
    found, total = await templates.list_templates(session, "acme", channel=channel, search=search)
    return [template.id for template in found], total


async def test_a_deleted_template_is_not_found_again(session: Session) -> None:
    one, other = [
        await templates.create_template(session, "acme", name, "sms", {"text": "a"})
        for name in ("100%", "1000")
    ]
    assert await _listed(session, search="0%") == ([one.id], 1)
    assert await _listed(session, channel="email") == ([], 0)
    await templates.delete_template(session, "acme", one.id)
    assert await _listed(session, channel="sms") == ([other.id], 1)
    for use in (templates.get_template, templates.delete_template, templates.change_template):
        with pytest.raises(NotFoundError):
            await use(session, "acme", one.id)


async def test_a_template_that_a_campaign_or_a_variant_needs_cannot_be_deleted(
    session: Session,
) -> None:
    own, of_variant = [
        await templates.create_template(session, "acme", name, "sms", {"text": "a"})
        for name in ("own", "of a variant")
    ]
    campaign = {"tenant_id": "acme", "channel": "sms", "name": "c", "created_by": uuid4()}
    statement = insert(Campaign).values(**campaign, template_id=own.id).returning(Campaign.id)
    variant = {"variant_id": "a", "name": "A", "weight": 100, "template_id": of_variant.id}
    variant["campaign_id"] = await session.scalar(statement)
    await session.execute(insert(CampaignVariant).values(variant))
    for template in (own, of_variant):
        with pytest.raises(ConflictError, match=r"c \(draft\)\. Change"):
            await templates.delete_template(session, "acme", template.id)
