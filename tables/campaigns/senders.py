"""Whether a campaign may be sent from the address that it names: the one rule of
CAMPAIGNS_SENDER_DOMAINS, for everything that sets messages going.
"""

from __future__ import annotations

from streams.contracts.values.domains import covering, domain_of
from streams.errors import FieldError, broken
from streams.settings import Settings
from tables.database.connection import Session
from tables.models import Campaign, SenderDomain
from tables.tenants.sender_domains import among

_FIELD = "settings.fromEmail"


async def check_sender(session: Session, settings: Settings, campaign: Campaign) -> None:
    """Raises CampaignError when the campaign must not be sent from its `fromEmail`; the error names
    the domain, and the record to set. One query where the rule holds, none where it does not.
    """
    if (wrong := await wrong_sender(session, settings, campaign)) is not None:
        raise broken(wrong)


async def wrong_sender(
    session: Session, settings: Settings, campaign: Campaign
) -> FieldError | None:
    """The error that `check_sender` would raise; None for a campaign that may be sent.

    An email without `fromEmail` may: the service that delivers it uses an address of its own, over
    which the tenant has no say.
    """
    if settings.sender_domains == "any" or campaign.channel != "email":
        return None
    if not (sender := campaign.settings.get("fromEmail")):
        return None
    if (domain := domain_of(sender)) is None:
        return FieldError(_FIELD, "has no domain that can be verified")
    known = await among(session, campaign.tenant_id, covering(domain))
    if any(one.verified_at is not None for one in known):
        return None
    return FieldError(_FIELD, _sentence(domain, known[0] if known else None))


def _sentence(domain: str, known: SenderDomain | None) -> str:
    """The error comes first: `statusReason` has room for the beginning."""
    wrong = f"{domain} is not a verified sender domain of this tenant"
    if known is None:
        return (
            f"{wrong}: add it, or a domain above it, with POST /api/v1/sender-domains, and set the"
            " TXT record that the answer names"
        )
    return (
        f"{wrong}: set the TXT record {known.record_name} to {known.record_value}, then"
        f" POST /api/v1/sender-domains/{known.domain}/verify"
    )
