"""The content of the demo: two invented companies, their contacts, and campaigns on every
channel. Deterministic; no person is real.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tables.contacts.fields import ContactRow, contact_row

_FIRST = (
    "Ana",
    "Ben",
    "Chloé",
    "David",
    "Elif",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kaya",
    "Lena",
    "Milan",
    "Nora",
    "Priya",
)
_LAST = (
    "Albrecht",
    "Bianchi",
    "Costa",
    "Demir",
    "Eriksson",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jensen",
    "Kowalska",
    "Moreau",
    "Ng",
)
_ZONES = ("Europe/Berlin", "Europe/Lisbon", "America/New_York", "Asia/Tokyo")
_PLANS = ("free", "plus", "pro")


@dataclass(frozen=True)
class DemoSegment:
    """A segment of the contacts at positions 0, `every`, 2 * `every` and so on, below `stop`."""

    name: str
    stop: int
    every: int = 1

    def __contains__(self, position: int) -> bool:
        return position < self.stop and position % self.every == 0

    def __len__(self) -> int:
        return len(range(0, self.stop, self.every))


@dataclass(frozen=True)
class DemoCampaign:
    """One campaign and its template."""

    name: str
    channel: str
    segment: str
    content: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    throttle: Mapping[str, int] | None = None
    ab_test: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DemoTenant:
    """An invented company with this number of contacts. Contacts at positions below `phones` have a
    telephone, those below `tokens` have the app; `hourly` limits its messages per hour.
    """

    id: str
    domain: str
    contacts: int
    phones: int
    tokens: int
    segments: tuple[DemoSegment, ...]
    campaigns: tuple[DemoCampaign, ...]
    hourly: int | None = None

    def rows(self, segment: DemoSegment) -> Iterator[ContactRow]:
        """Yield the contacts of a segment, the same ones every time. Telephone numbers are from the
        range that is reserved for fiction (555-0100 to 555-0199).
        """
        for position in range(self.contacts):
            if position not in segment:
                continue
            fields = {
                "external_id": f"{self.id}-{position}",
                "email": f"person{position}@{self.domain}",
                "first_name": _FIRST[position % len(_FIRST)],
                "last_name": _LAST[position % len(_LAST)],
                "time_zone": _ZONES[position % len(_ZONES)],
            }
            if position < self.phones:
                fields["phone"] = f"+1{201 + position // 100}5550{100 + position % 100}"
            if position < self.tokens:
                fields["push_token"] = f"demo-{self.id}-{position}"
            yield contact_row(position + 1, fields, {"plan": _PLANS[position % len(_PLANS)]})


def _email(subject: str, headline: str, button: str) -> Mapping[str, str]:
    html = (
        f"<!doctype html><html><body><h1>{headline}</h1><p>Hello {{{{ firstName }}}},</p>"
        "<p>you are on our {{ contact.attributes.plan }} plan, and this is for you.</p>"
        f'<p><a href="https://example.com/offer">{button}</a> · '
        '<a href="https://example.com/news">All news</a></p>'
        '<p><a href="{{ unsubscribeUrl }}">Unsubscribe</a></p></body></html>'
    )
    text = (
        f"{headline}\n\nHello {{{{ firstName }}}}, {button}: https://example.com/offer\n\n"
        "Unsubscribe: {{ unsubscribeUrl }}"
    )
    return MappingProxyType({"subject": subject, "html": html, "text": text})


def _from(name: str, address: str) -> Mapping[str, Any]:
    return MappingProxyType(
        {"fromName": name, "fromEmail": address, "trackOpens": True, "trackClicks": True}
    )


_ACME = DemoTenant(
    id="acme",
    domain="people.example.com",
    contacts=5000,
    phones=900,
    tokens=2000,
    segments=(
        DemoSegment("Newsletter", 5000),
        DemoSegment("Shop customers", 5000, 2),
        DemoSegment("Text messages", 900),
        DemoSegment("App", 2000),
    ),
    campaigns=(
        DemoCampaign(
            "January newsletter",
            "email",
            "Newsletter",
            _email("{{ firstName }}, your January news", "A good start", "Read more"),
            _from("Acme Corp", "newsletter@acme.example"),
        ),
        DemoCampaign(
            "Shop sale, slowly",
            "email",
            "Shop customers",
            _email("Up to 70% off, {{ firstName }}", "Our big sale", "To the shop"),
            _from("Acme Shop", "shop@acme.example"),
            {"messagesPerHour": 1000},
        ),
        DemoCampaign(
            "Parcel on its way",
            "sms",
            "Text messages",
            {"text": "Acme: {{ firstName }}, your parcel comes tomorrow."},
        ),
        DemoCampaign(
            "New in the app",
            "push",
            "App",
            {
                "title": "New, {{ firstName }}",
                "body": "Version 3 is faster. Have a look.",
                "link": "https://example.com/app",
            },
        ),
    ),
)

_TEST: Mapping[str, Any] = MappingProxyType(
    {
        "variants": [
            {"variantId": "A", "name": "By name", "weight": 50},
            {"variantId": "B", "name": "Short", "subject": "Spring is here", "weight": 50},
        ],
        "winnerCriteria": "open_rate",
        "testDurationHours": 0.02,
        "testSamplePercent": 30,
    }
)
_GLOBEX = DemoTenant(
    id="globex",
    domain="clients.example.org",
    contacts=2000,
    phones=800,
    tokens=0,
    hourly=20_000,
    segments=(DemoSegment("Clients", 2000), DemoSegment("WhatsApp", 800)),
    campaigns=(
        DemoCampaign(
            "Spring catalogue",
            "email",
            "Clients",
            _email(
                "The spring catalogue for {{ firstName }}", "Spring is here", "See the catalogue"
            ),
            _from("Globex", "hello@globex.example"),
            ab_test=_TEST,
        ),
        DemoCampaign(
            "Showroom opening",
            "whatsapp",
            "WhatsApp",
            {"text": "Hello {{ firstName }}, our new showroom opens on Friday!"},
        ),
    ),
)

TENANTS = (_ACME, _GLOBEX)
