"""The settings of every process."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from streams.settings.addresses import MayHavePassword
from streams.settings.checks import (
    is_private,
    listed,
    networks,
    servers_of_dns,
    strong_or_none,
)
from streams.settings.kafka_access import KafkaAccess
from streams.settings.message_keys import MessageKey, message_keys, signing
from streams.settings.nats_access import NatsAccess


def _usable(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    message_keys(keys)
    return keys


MessageKeys = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(listed), AfterValidator(_usable)
]


class Settings(KafkaAccess, NatsAccess):
    """Durations are ISO 8601 (`PT1H`). Secrets have no defaults: a process that needs one and lacks
    it does not start.

    Raises `pydantic.ValidationError`, which names the variable, when a value is missing or out of
    range.
    """

    topic_prefix: str = Field(
        "", description="put before every topic, application id, group and NATS subject (tests)"
    )
    partitions: int = Field(
        8, ge=1, le=1024, description="of every partitioned topic; cannot change once they exist"
    )
    replication_factor: int = Field(
        1,
        ge=1,
        description="copies of every topic when it is created; 3 on a cluster, where 1 is refused",
    )
    nats_replicas: int = Field(
        0, ge=0, le=5, description="copies of the JetStream stream; 0 = as many as of topics"
    )

    message_keys: MessageKeys = Field(
        description="comma-separated MAC keys of message ids, each `epoch:hex`, and `:verify` or "
        "`:withdrawn` behind it when it must not sign; the newest other signs "
        "(docs/operate/keys.md)"
    )
    address_key: Annotated[SecretStr, AfterValidator(strong_or_none)] = Field(
        SecretStr(""),
        description="secret behind the hashes of addresses that were changed or erased, "
        "hexadecimal; must never change; empty = the oldest message key",
    )

    hour: timedelta = Field(
        timedelta(hours=1),
        description="length of the hourly quota's hour; shorten in tests and the demo only",
    )
    day: timedelta = Field(
        timedelta(days=1),
        description="length of the daily quota's day; shorten in tests and the demo only",
    )
    in_flight: int = Field(
        30_000,
        ge=100,
        description="messages granted and not yet sent, at most, per partition of tenants; "
        "what is sent in a second bounds them, too",
    )
    tick: timedelta = Field(
        timedelta(milliseconds=250), description="how often the throttle looks at waiting campaigns"
    )

    session_timeout: timedelta = Field(
        timedelta(seconds=6), description="a killed worker's partitions move after this long"
    )
    page_size: int = Field(50_000, ge=100, description="recipients that one expansion page writes")
    max_recipients: int = Field(
        1_000_000, ge=1, le=1 << 24, description="per campaign (specification, section 9)"
    )
    scheduler_interval: timedelta = Field(
        timedelta(minutes=1),
        gt=timedelta(0),
        description="how often the job campaign-scheduler runs, "
        "beside the instants when something is due",
    )
    ab_test_interval: timedelta = Field(
        timedelta(minutes=15),
        gt=timedelta(0),
        description="how often A/B tests are evaluated, beside the instants when one is due",
    )
    recurring_interval: timedelta = Field(
        timedelta(hours=1),
        gt=timedelta(0),
        description="how often the job campaign-recurring-trigger runs; it looks ahead as far",
    )
    max_running: int = Field(
        5, ge=1, description="running campaigns per tenant (specification, section 9)"
    )

    segments_url: MayHavePassword = Field(
        "",
        description="base URL of a segment service of your own (docs/connect/services.md); "
        "empty = our directory",
    )
    contacts_url: MayHavePassword = Field(
        "", description="base URL of a contact service of your own; empty = our directory"
    )
    templates_url: MayHavePassword = Field(
        "", description="base URL of a template service of your own; empty = our directory"
    )
    directory_token: SecretStr = Field(
        SecretStr(""), description="sent to these three services as a bearer token; empty = none"
    )
    directory_timeout: timedelta = Field(
        timedelta(seconds=10), description="how long one request to them may take; a call has three"
    )

    sender_domains: Literal["any", "verified"] = Field(
        "any",
        description="the `fromEmail` that a tenant may send from: `any`, or of a domain that it has"
        " `verified` by DNS (docs/operate/production.md)",
    )
    dns_servers: Annotated[str, AfterValidator(servers_of_dns)] = Field(
        "",
        description="comma-separated name servers that are asked for the records of sender domains"
        " and routes, each an address or address:port; empty = those of the system",
    )
    dns_timeout: timedelta = Field(
        timedelta(seconds=5),
        gt=timedelta(0),
        description="how long they may take together to answer about one record",
    )
    routes: Literal["off", "public", "any"] = Field(
        "off",
        description="the relays that a tenant's routes may name: none (`off`), those with `public`"
        " addresses, or `any`, in private networks and on loopback, too (docs/guide/sending.md)",
    )
    routes_ca_file: str = Field(
        "",
        description="PEM file of further authorities of relays' certificates, beside the system's",
    )
    route_timeout: timedelta = Field(
        timedelta(seconds=15),
        gt=timedelta(0),
        description="how long a check of a route waits for its relay, and meanwhile for DNS",
    )

    bounce_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="port on which the workers of the role deliver take bounces by SMTP"
        " (docs/guide/sending.md); 0 = off",
    )
    bounce_host: str = Field("127.0.0.1", description="address that they are taken on")
    bounce_name: str = Field(
        "",
        description="name of that server in the MX record of a domain for bounces, and in its"
        " greeting; empty = the host of CAMPAIGNS_PUBLIC_URL",
    )
    bounce_interval: timedelta = Field(
        timedelta(minutes=1),
        gt=timedelta(0),
        description="how often the mailboxes of routes are read by IMAP for bounces",
    )

    machine_window: timedelta = Field(
        timedelta(seconds=2),
        ge=timedelta(0),
        description="an open or click so soon after sending is a machine's; whole seconds, 0 = off",
    )
    soft_bounce_limit: int = Field(
        5, ge=1, description="soft bounces in a row that suppress an address"
    )
    complaint_rate_limit: float = Field(
        0.3, gt=0, le=100, description="percent of the delivered; above it a campaign is paused"
    )
    complaint_min_delivered: int = Field(
        1_000, ge=1, description="delivered messages before a complaint rate means anything"
    )
    webhook_tolerance: timedelta = Field(
        timedelta(minutes=5),
        description="how old the signed time of a webhook may be, or how far ahead",
    )
    caller_patience: timedelta = Field(
        timedelta(seconds=2),
        gt=timedelta(0),
        description="how long a webhook, open, click or unsubscribe waits for a database"
        " connection",
    )
    trusted_proxies: Annotated[str, AfterValidator(networks)] = Field(
        "",
        description="comma-separated networks whose `X-Forwarded-For` is believed, "
        "such as 10.0.0.0/8; empty = nobody's",
    )

    stats_refresh_interval: timedelta = Field(
        timedelta(minutes=5),
        gt=timedelta(0),
        description="how often the job campaign-stats-refresh materialises the live stats",
    )
    stats_retention: timedelta = Field(
        timedelta(days=90),
        gt=timedelta(0),
        description="without an event for so long, the counts of a finished campaign become final",
    )

    ledger_retention: timedelta = Field(
        timedelta(0),
        ge=timedelta(0),
        description="how long recipients' rows are kept after the campaigns of their block of 1,000"
        " have ended; 0 = for ever (docs/operate/retention.md)",
    )

    audit_retention: timedelta = Field(
        timedelta(0),
        description="how long rows of the audit log are kept, a year (P365D) at least;"
        " 0 = for ever (docs/operate/retention.md)",
    )

    public_url: str = Field("http://127.0.0.1:8080", description="base of every public link")
    api_host: str = Field("127.0.0.1", description="address that the API listens on")
    import_max_bytes: int = Field(
        512 << 20,
        ge=1,
        description="largest body of POST /contacts/import and /suppressions/import; both are "
        "read as they arrive",
    )
    api_port: int = Field(8080, description="port that the API listens on")
    api_rate_limit: int = Field(
        6_000,
        ge=0,
        description="requests per minute of one API key or user and API process; 0 = no limit",
    )
    api_tenant_rate_limit: int = Field(
        12_000,
        ge=0,
        description="requests per minute of one tenant and API process; 0 = no limit",
    )
    api_connections: int = Field(
        1_000,
        ge=4,
        description="connections to one API process at once; an address that is no trusted proxy"
        " has at most a quarter of them",
    )
    jwt_issuer: str = Field(
        "", description="also take bearer JWTs of this issuer (`iss`); empty = API keys only"
    )
    jwt_audience: str = Field(
        "", description="the audience (`aud`) that these tokens must name; needed with an issuer"
    )
    jwt_jwks_url: str = Field(
        "",
        description="where the issuer publishes its keys (JWKS), https except on loopback;"
        " needed with an issuer",
    )
    jwt_tenant_claim: str = Field(
        "tenant_id", min_length=1, description="claim that names the tenant"
    )
    jwt_role_claim: str = Field(
        "role",
        min_length=1,
        description="claim that names the role, or several: the highest counts",
    )
    metrics_port: int = Field(0, description="loopback port for /metrics of this process; 0 = off")
    ready_file: str = Field(
        "", description="where a process reports that it is ready; set by the supervisor"
    )
    log_level: str = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR; DEBUG also shows what libraries say"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not timedelta(0) < self.hour <= self.day:
            raise ValueError("CAMPAIGNS_HOUR must be positive and not longer than CAMPAIGNS_DAY")
        if self.audit_retention and self.audit_retention < timedelta(days=365):
            raise ValueError("CAMPAIGNS_AUDIT_RETENTION is 0, for ever, or at least a year: P365D")
        if self.jwt_issuer and not (
            self.jwt_audience and self.jwt_jwks_url.startswith(("https://", "http://"))
        ):
            raise ValueError(
                "CAMPAIGNS_JWT_ISSUER needs CAMPAIGNS_JWT_AUDIENCE "
                "and the URL CAMPAIGNS_JWT_JWKS_URL"
            )
        if self.jwt_issuer and not is_private(self.jwt_jwks_url):
            raise ValueError(
                "CAMPAIGNS_JWT_JWKS_URL must begin with https://; plain http is taken on loopback"
                " only, because over it anybody on the way could slip in a key of their own"
            )
        return self

    def shortened(self) -> str:
        """A warning when a quota's hour or day is not one, else empty: such an installation sends
        more, or less, than its limits say.
        """
        lengths = (
            ("CAMPAIGNS_HOUR", self.hour, timedelta(hours=1)),
            ("CAMPAIGNS_DAY", self.day, timedelta(days=1)),
        )
        odd = " and ".join(
            f"{name} is {length.total_seconds():,g} s"
            for name, length, usual in lengths
            if length != usual
        )
        return (
            f"{odd}: limits per hour and day do not mean what they say; for tests and the demo only"
            if odd
            else ""
        )

    @property
    def heartbeat_interval(self) -> timedelta:
        """How often a member of a group says that it lives, and so how soon a rebalance reaches it:
        six times in a session, at least every 3 s (Kafka's own default).

        A member that a rebalance reaches after its rebalance timeout is put out of the group.
        """
        return min(self.session_timeout / 6, timedelta(seconds=3))

    @property
    def nats_copies(self) -> int:
        """How many servers of a NATS cluster keep the stream."""
        return self.nats_replicas or self.replication_factor

    @property
    def address_secret(self) -> bytes:
        """The secret behind the hashes of former addresses."""
        return bytes.fromhex(self.address_key.get_secret_value()) or self.keys[0].secret

    @property
    def keys(self) -> tuple[MessageKey, ...]:
        """The message keys, the oldest first."""
        return message_keys(self.message_keys)

    @property
    def key_epoch(self) -> int:
        """The epoch that new campaigns sign with: the newest key that may sign."""
        return signing(self.keys).epoch


@lru_cache(maxsize=1)
def from_environment() -> Settings:
    """The settings of this process, read once."""
    return Settings()
