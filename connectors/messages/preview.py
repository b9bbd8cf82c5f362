"""Previews: every variant of a message for one contact, rendered as emission renders it; or an
error that names the part, the line and the variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.messages.composing import headers
from connectors.messages.content import Broken, Content
from connectors.templates.rendering import RenderError
from streams.contracts.envelope import rfc3339
from streams.errors import CampaignError, FieldError, broken
from streams.records.message_id import MessageIds
from tables.audience.recipients import FIELDS
from tables.channels import CHANNELS, hints
from tables.models import Contact


@dataclass(frozen=True)
class Rendered:
    """The parts of a message under a variant; None is the campaign itself."""

    variant_id: str | None
    content: dict[str, str]


def variants_of(content: Content, wanted: str | None = None) -> tuple[str | None, ...]:
    """Return the variants that are sent: those of the A/B test or, without a test, the campaign
    itself. `wanted` picks one; raises CampaignError when there is no such variant.
    """
    known = tuple(variant for variant in content.templates if variant is not None)
    if wanted is None:
        return known or (None,)
    if wanted not in known:
        raise broken(
            FieldError(
                "variantId",
                f"one of {', '.join(known)}" if known else "the campaign has no A/B test",
            )
        )
    return (wanted,)


def fields_of(contact: Contact) -> dict[str, Any]:
    """Return the fields of a contact under the names that templates use."""
    return {name: getattr(contact, column) for name, column in FIELDS.items()}


def address_of(contact: Mapping[str, Any], channel: str) -> str | None:
    """Return the address at which the contact gets messages of this channel, None without one."""
    column = CHANNELS[channel].column
    found: str | None = contact.get(next(name for name, one in FIELDS.items() if one == column))
    return found


def rendered(
    content: Content,
    variants: Iterable[str | None],
    contact: Mapping[str, Any],
    message_id: str,
    at: str | None = None,
) -> list[Rendered]:
    """Render every variant for this contact (`fields_of`), at an instant (RFC 3339) or now. Raises
    CampaignError that names part, line and variable of each variant that cannot be rendered.
    """
    at = at or rfc3339(datetime.now(UTC))
    own = {field: contact.get(field) for field in content.fields}
    done, errors = list[Rendered](), list[FieldError]()
    for variant in variants:
        try:
            parts = content.template(variant).render(own, message_id, at)
            done.append(Rendered(variant, parts))
        except RenderError as error:
            errors.append(_located(content, variant, error))
    if errors:
        raise broken(*errors)
    return done


def _located(content: Content, variant: str | None, error: RenderError) -> FieldError:
    prefix = "" if variant is None else f"variants.{variant}."
    if (
        isinstance(content.template(variant), Broken)
        and error.detail == "the template does not exist"
    ):
        return FieldError(f"{prefix}templateId", "is needed: there is no template")
    part = error.detail.partition(",")[0].partition(":")[0]
    place = f"content.{part}" if part in CHANNELS[content.channel].content else "content"
    return FieldError(
        prefix + place, error.detail if variant is None else f"variant {variant}: {error.detail}"
    )


def preview(
    shown: Content, sent: Content, contact: Mapping[str, Any], message_id: str
) -> list[dict[str, Any]]:
    """Return the `variants` of the API's answer. `shown` has links as they are written, so that a
    click in a preview counts nothing; `hints` measure `sent`, with its tracking links.
    """
    variants = variants_of(shown)
    tracked = {one.variant_id: one.content for one in rendered(sent, variants, contact, message_id)}
    return [
        {
            "variantId": one.variant_id,
            "content": one.content,
            "from": dict(shown.sender) if shown.sender else None,
            "headers": headers(shown.channel, shown.tracking, message_id),
            "options": dict(shown.options) if shown.options else None,
            "hints": _hints(shown, tracked[one.variant_id]),
        }
        for one in rendered(shown, variants, contact, message_id)
    ]


def _hints(content: Content, sent: Mapping[str, str]) -> dict[str, Any]:
    found = hints(content.channel, sent)
    if content.max_segments is not None:
        found |= {
            "maxSegments": content.max_segments,
            "isTooLong": found["segments"] > content.max_segments,
        }
    return found


def segments_per_message(
    sent: Content, contacts: Sequence[Contact], ids: MessageIds
) -> float | None:
    """Estimate from these contacts how many segments an SMS of the campaign takes on average. None
    when it can be rendered for none of them.
    """
    counts = []
    message_id = ids.make(0, 0, sent.tenant_id, ids.signing)
    for contact in contacts:
        try:
            for one in rendered(sent, variants_of(sent), fields_of(contact), message_id):
                counts.append(hints("sms", one.content)["segments"])
        except CampaignError:
            continue  # emission skips them, too
    return sum(counts) / len(counts) if counts else None


def unrendered(sent: Content, contacts: Sequence[Contact], ids: MessageIds) -> tuple[int, str]:
    """Count those of the contacts for whom a variant cannot be rendered, and return what is wrong
    for the first of them.
    """
    why = list[str]()
    message_id = ids.make(0, 0, sent.tenant_id, ids.signing)
    for contact in contacts:
        try:
            rendered(sent, variants_of(sent), fields_of(contact), message_id)
        except CampaignError as error:
            why.append(error.detail)
    return len(why), why[0] if why else ""
