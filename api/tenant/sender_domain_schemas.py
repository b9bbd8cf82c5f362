"""Bodies and answers of `/sender-domains`, with the examples of the API's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, StringConstraints

from api.http.envelope import Instant, Schema, shown_as
from streams.contracts.fields import Body
from streams.contracts.values.domains import sender_domain
from tables import models
from tables.tenants.sender_domains import Finding

_AT = "2026-01-28T08:55:12.204Z"
_TOKEN = "0f6c2e1d7a44b8319a53c5d2e7f80b16"

Domain = Annotated[str, StringConstraints(max_length=255), AfterValidator(sender_domain)]
_SAID: Mapping[Finding, str] = MappingProxyType(
    {
        Finding.NO_SUCH_NAME: "DNS has no record of this name. A new one may take as long as the"
        " zone's negative TTL; some forms add the domain by themselves, and then want `_campaigns`"
        " alone as the name.",
        Finding.NO_TXT: "DNS has records of this name, but no TXT record.",
        Finding.OTHER_TOKEN: "DNS has a TXT record for this purpose with another token: that of"
        " another tenant, or of this one before the domain was added again.",
        Finding.OTHER_VALUES: "DNS has TXT records of this name, none of which has this value.",
    }
)


class DomainAdd(Body):
    """The domain, in any spelling; without a path, a port or an address."""

    model_config = shown_as({"domain": "acme.com"})

    domain: Domain


class Record(Schema):
    """A record to set where the domain's DNS is managed."""

    name: str
    type: Literal["TXT"]
    value: str


_RECORD = {
    "name": "_campaigns.acme.com",
    "type": "TXT",
    "value": f"campaigns-verification={_TOKEN}",
}
ADDED = {
    "domain": "acme.com",
    "verifiedAt": None,
    "record": _RECORD,
    "createdAt": _AT,
    "checkedAt": None,
    "finding": None,
    "explanation": None,
}
VERIFIED = {**ADDED, "verifiedAt": _AT, "checkedAt": _AT, "finding": "verified"}


class SenderDomain(Schema):
    """`verifiedAt` is null while the domain is not verified; `finding` is what DNS answered at
    `checkedAt`, and `explanation` says what that means unless it is `verified`.
    """

    model_config = shown_as(VERIFIED)

    domain: str
    verified_at: Instant | None
    record: Record
    created_at: Instant
    checked_at: Instant | None
    finding: Finding | None
    explanation: str | None

    @classmethod
    def of(cls, row: models.SenderDomain) -> Self:
        finding = None if row.finding is None else Finding(row.finding)
        return cls.of_row(
            row,
            record=Record(name=row.record_name, type="TXT", value=row.record_value),
            finding=finding,
            explanation=None if finding is None else _SAID.get(finding),
        )
