"""The schema: every table of the database, one class each, and nothing else that spells a column.

Alembic compares these classes with a migrated database, and a test allows no difference.
Partitions, functions and what Alembic does not compare are in the migrations and in the catalogue
test. Imports `streams` only; the rooms of `tables` read and write rows through these classes.
"""

from tables.models.audience import CampaignRecipient, Projection, TestSend
from tables.models.campaigns import (
    AbTestDecision,
    Campaign,
    CampaignContent,
    CampaignEntry,
    CampaignVariant,
    ComplaintPause,
)
from tables.models.commands import OutboxRecord, RefusedRecord, RememberedAnswer
from tables.models.contacts import Contact, FormerAddress, WhatsappUser
from tables.models.declarative import Base
from tables.models.delivery import Doubt, Route, RouteUsage
from tables.models.directory import (
    MirroredMember,
    OptIn,
    Segment,
    SegmentMember,
    Suppression,
    Template,
)
from tables.models.installation import Installation
from tables.models.jobs import JobRun
from tables.models.stats import CampaignStats
from tables.models.tenants import (
    ApiKey,
    AuditEntry,
    BrowserSession,
    SenderDomain,
    SignInCode,
    Tenant,
    WebhookSecret,
    WebhookSubscription,
    WebhookToken,
)

__all__ = [
    "AbTestDecision",
    "ApiKey",
    "AuditEntry",
    "Base",
    "BrowserSession",
    "Campaign",
    "CampaignContent",
    "CampaignEntry",
    "CampaignRecipient",
    "CampaignStats",
    "CampaignVariant",
    "ComplaintPause",
    "Contact",
    "Doubt",
    "FormerAddress",
    "Installation",
    "JobRun",
    "MirroredMember",
    "OptIn",
    "OutboxRecord",
    "Projection",
    "RefusedRecord",
    "RememberedAnswer",
    "Route",
    "RouteUsage",
    "Segment",
    "SegmentMember",
    "SenderDomain",
    "SignInCode",
    "Suppression",
    "Template",
    "Tenant",
    "TestSend",
    "WebhookSecret",
    "WebhookSubscription",
    "WebhookToken",
    "WhatsappUser",
]
