"""The content of a campaign: its template and its variants' templates, read and compiled once per
campaign, with its links numbered.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from connectors.templates.beside import beside
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import RenderError, Template
from connectors.templates.seals import LinkSeals
from streams.contracts.channel_settings import Utm
from streams.contracts.fields import CampaignType, mailable
from streams.contracts.values.one_line import folded
from streams.records.link_tokens import LinkTokens
from streams.settings import Settings
from tables.audience.recipients import FIELDS
from tables.campaigns.campaign import numbered_campaign
from tables.campaigns.contents import contents
from tables.channels import CHANNELS
from tables.database.connection import Database, Session

_log = logging.getLogger(__name__)

_CACHED = 200  # campaigns; one is 10-100 kB
_ADDRESSES = frozenset({"email", "replyTo"})  # members of `from` that hold an email address


@dataclass(frozen=True)
class Broken:
    """Stands for a template that does not compile or does not exist any more: every rendering
    raises its error.
    """

    error: RenderError
    fields: tuple[str, ...] = ()
    makes_text = uses_tokens = False

    def render(
        self,
        contact: Mapping[str, Any],
        message_id: str,
        at: str = "",
        tokens: tuple[str, str] | None = None,
    ) -> NoReturn:
        """Raises RenderError, always."""
        raise RenderError(self.error.detail)


@dataclass(frozen=True)
class Content:
    """Everything about a campaign that its messages have in common.

    `templates` has a template per variant; under None is the campaign's own, which recipients
    without a variant get. `links` has the address of each numbered link. `fields` are the contact
    fields that any of the templates uses. `total` is the number of recipients, or None while it is
    unknown or can grow. `sender` and `options` are the `from` and `options` of a message. An SMS of
    more than `max_segments` is not sent. `is_built_in`: the messages leave by routes of the tenant.
    """

    id: UUID
    tenant_id: str
    number: int
    channel: str
    key_epoch: int
    total: int | None
    sender: Mapping[str, str] | None
    templates: Mapping[str | None, Template | Broken]
    links: tuple[str, ...]
    fields: tuple[str, ...]
    tracking: Tracking
    options: Mapping[str, Any] | None = None
    max_segments: int | None = None
    is_built_in: bool = False

    def template(self, variant: str | None) -> Template | Broken:
        """Return the template of a variant; the campaign's own when the variant has none."""
        return self.templates.get(variant) or self.templates[None]


async def load(
    session: Session,
    tenant: str,
    number: int,
    public_url: str,
    *,
    is_tracked: bool = True,
    seals: LinkSeals | None = None,
    tokens: LinkTokens | None = None,
) -> Content | None:
    """Read and compile the content of a campaign (about 1 ms). None when this tenant has no such
    campaign. A campaign that has started keeps the content that it started with.

    A template that does not compile becomes `Broken` and raises nothing here. Without `is_tracked`
    links stay as they are written, and an email has no pixel. Without `seals`, links that hold
    variables are not tracked; without `tokens`, links open nothing.
    """
    campaign = await numbered_campaign(session, tenant, number)
    if campaign is None:
        return None
    channel, settings = campaign.channel, campaign.settings
    opens, clicks = (
        is_tracked and bool(settings.get(name)) for name in ("trackOpens", "trackClicks")
    )
    given = settings.get("utm", {})
    utm = {f"utm_{name}": given[name] for name in Utm.model_fields if name in given}
    tracking = Tracking(
        public_url, opens=opens, clicks=clicks, seals=seals, tokens=tokens, parameters=utm
    )
    links, found = Links(), await contents(session, campaign.id)

    def compiled() -> dict[str | None, Template | Broken]:
        return {
            said.variant_id: _compiled(channel, said.content, said.campaign_name, tracking, links)
            for said in found
        }

    # a long template takes a second, in which this process has others to serve
    templates = await beside(compiled)
    is_growing = campaign.type == CampaignType.TRIGGERED
    used = {field for template in templates.values() for field in template.fields}
    return Content(
        id=campaign.id,
        tenant_id=tenant,
        number=number,
        channel=channel,
        key_epoch=campaign.key_epoch or 0,
        total=None if is_growing else campaign.total_recipients,
        sender=_sender(channel, settings),
        templates=templates,
        links=links.urls,
        fields=tuple(field for field in FIELDS if field in used),
        tracking=tracking,
        options={name: settings[name] for name in CHANNELS[channel].options if name in settings}
        or None,
        max_segments=settings.get("maxSegments") if channel == "sms" else None,
        is_built_in=campaign.is_built_in,
    )


class Contents:
    """The contents of the campaigns that are being sent, by number; the least recently used are
    forgotten first.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._public_url = database, settings.public_url
        self._seals, self._tokens = LinkSeals.of(settings), LinkTokens.of(settings)
        self._kept: OrderedDict[int, Content] = OrderedDict()

    async def get(self, tenant: str, number: int) -> Content | None:
        """Return the content of a campaign, None when this tenant has no such campaign. Waits as
        long as the database is down.
        """
        content = self._kept.get(number)
        if content is None:
            content = await self._database.until_up(
                lambda session: load(
                    session,
                    tenant,
                    number,
                    self._public_url,
                    seals=self._seals,
                    tokens=self._tokens,
                )
            )
            if content is None:
                return None
            for variant, template in content.templates.items():
                if isinstance(template, Broken) and (
                    variant is not None or len(content.templates) == 1
                ):  # an A/B test sends its variants only, never the campaign's own template
                    _log.warning(
                        "template is broken, its recipients are skipped",
                        extra={"campaignId": str(content.id), "variant": variant},
                    )
            self._kept[number] = content
            if len(self._kept) > _CACHED:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return content if content.tenant_id == tenant else None

    def forget(self, number: int) -> None:
        """Drop the content of a campaign that is over."""
        self._kept.pop(number, None)


def _compiled(
    channel: str, content: Mapping[str, Any] | None, name: str, tracking: Tracking, links: Links
) -> Template | Broken:
    if content is None:
        return Broken(RenderError("the template does not exist"))
    try:
        return Template(channel, content, name, tracking, links)
    except RenderError as error:
        return Broken(error)


def _sender(channel: str, settings: Mapping[str, Any]) -> Mapping[str, str] | None:
    names = CHANNELS[channel].sender.items()
    return {
        name: folded(mailable(value) if name in _ADDRESSES else value)
        for name, setting in names
        if (value := str(settings.get(setting) or ""))
    } or None
