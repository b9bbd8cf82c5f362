"""Settings: what is refused before a process starts, and what a child process is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from streams.settings import Settings
from streams.settings.checks import addressed

NEEDED: dict[str, Any] = {
    "kafka": "nowhere:1",
    "postgres": "postgresql://nowhere",
    "nats": "nats://nowhere:1",
    "message_keys": ("00" * 16,),
}


def settings(**more: Any) -> Settings:
    return Settings(**{**NEEDED, **more})


@pytest.mark.parametrize("missing", NEEDED)
def test_a_process_without_an_address_or_a_key_does_not_start(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Settings(**{name: value for name, value in NEEDED.items() if name != missing})


@pytest.mark.parametrize(
    ("field", "least", "too_little"),
    [
        ("partitions", 1, 0),
        ("replication_factor", 1, 0),
        ("in_flight", 100, 99),
        ("page_size", 100, 99),
        ("max_recipients", 1, 0),
        ("max_running", 1, 0),
        ("soft_bounce_limit", 1, 0),
        ("complaint_min_delivered", 1, 0),
        ("api_rate_limit", 0, -1),
        ("import_max_bytes", 1, 0),
        ("machine_window", timedelta(0), timedelta(microseconds=-1)),
        ("stats_retention", timedelta(microseconds=1), timedelta(0)),
        ("scheduler_interval", timedelta(microseconds=1), timedelta(0)),
        ("recurring_interval", timedelta(microseconds=1), timedelta(0)),
        ("ab_test_interval", timedelta(microseconds=1), timedelta(0)),
        ("stats_refresh_interval", timedelta(microseconds=1), timedelta(0)),
        ("complaint_rate_limit", 0.001, 0),
    ],
)
def test_the_least_of_each_number_is_taken_and_less_is_refused(
    field: str, least: object, too_little: object
) -> None:
    assert getattr(settings(**{field: least}), field) == least
    with pytest.raises(ValidationError, match=field):
        settings(**{field: too_little})


@pytest.mark.parametrize(
    ("field", "most", "too_much"),
    [
        ("partitions", 1024, 1025),
        ("max_recipients", 1 << 24, (1 << 24) + 1),
        ("complaint_rate_limit", 100, 100.1),
    ],
)
def test_the_most_of_each_number_is_taken_and_more_is_refused(
    field: str, most: object, too_much: object
) -> None:
    assert getattr(settings(**{field: most}), field) == most
    with pytest.raises(ValidationError, match=field):
        settings(**{field: too_much})


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ("00" * 16, 1),
        (f" {'00' * 16} , {'01' * 64},", 2),
        (",".join(["00" * 32] * 4), 4),
    ],
)
def test_message_keys_are_a_list_with_commas(keys: str, count: int) -> None:
    made = settings(message_keys=keys)
    assert (len(made.message_keys), made.key_epoch) == (count, count - 1)


@pytest.mark.parametrize(
    "keys", ["", ",", "00" * 15, "00" * 65, "zz" * 16, "0" * 33, ",".join(["00" * 16] * 5)]
)
def test_a_weak_key_none_or_too_many_are_refused_without_a_word_of_them(keys: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(message_keys=keys)
    assert len(keys) < 2 or keys not in str(refused.value)


@pytest.mark.parametrize(
    ("hour", "day", "is_right"),
    [(10, 10, True), (10, 11, True), (11, 10, False), (0, 10, False), (-1, 10, False)],
)
def test_an_hour_is_positive_and_not_longer_than_a_day(hour: int, day: int, is_right: bool) -> None:
    lengths = {"hour": timedelta(seconds=hour), "day": timedelta(seconds=day)}
    if is_right:
        assert settings(**lengths).hour == lengths["hour"]
    else:
        with pytest.raises(ValidationError, match="CAMPAIGNS_HOUR"):
            settings(**lengths)


@pytest.mark.parametrize(
    ("more", "is_right"),
    [
        ({}, False),
        ({"jwt_audience": "campaigns"}, False),
        ({"jwt_jwks_url": "https://issuer.example/jwks"}, False),
        ({"jwt_audience": "campaigns", "jwt_jwks_url": "issuer.example/jwks"}, False),
        ({"jwt_audience": "campaigns", "jwt_jwks_url": "https://issuer.example/jwks"}, True),
    ],
)
def test_an_issuer_of_tokens_needs_an_audience_and_the_address_of_its_keys(
    more: dict[str, str], is_right: bool
) -> None:
    named = {"jwt_issuer": "https://issuer.example", **more}
    if is_right:
        assert settings(**named).jwt_issuer == "https://issuer.example"
    else:
        with pytest.raises(ValidationError, match="CAMPAIGNS_JWT_ISSUER needs"):
            settings(**named)


def test_trusted_proxies_are_networks() -> None:
    assert settings(trusted_proxies="10.0.0.0/8, ::1").trusted_proxies == "10.0.0.0/8, ::1"
    for wrong in ("proxy.example", "10.0.0.0/33", "10.0.0.1/8", ","):
        with pytest.raises(ValidationError, match="trusted_proxies"):
            settings(trusted_proxies=wrong)


@pytest.mark.parametrize(
    ("servers", "addresses"),
    [
        ("", []),
        ("9.9.9.9", [("9.9.9.9", 53)]),
        ("9.9.9.9, 127.0.0.1:5353", [("9.9.9.9", 53), ("127.0.0.1", 5353)]),
        ("2620:fe::fe", [("2620:fe::fe", 53)]),
        ("[2620:fe::fe]:5353", [("2620:fe::fe", 5353)]),
    ],
)
def test_name_servers_are_addresses_with_a_port_or_without(
    servers: str, addresses: list[tuple[str, int]]
) -> None:
    assert addressed(settings(dns_servers=servers).dns_servers) == addresses


@pytest.mark.parametrize(
    "servers",
    [
        *("dns.example", "9.9.9.9:0", "9.9.9.9:65536", "9.9.9.9:x", "9.9.9.9:", "9.9.9.9:+53"),
        *(":53", ",", "9.9.9.9,", "https://9.9.9.9/dns-query", "9.9.9", "9.9.9.9:\u0665\u0663"),
    ],
)
def test_what_names_no_name_server_is_refused(servers: str) -> None:
    with pytest.raises(ValidationError, match="must be addresses such as"):
        settings(dns_servers=servers)


def test_senders_are_any_or_verified_and_any_as_ever_where_nothing_is_said() -> None:
    assert settings().sender_domains == "any"
    assert settings(sender_domains="verified").sender_domains == "verified"
    for wrong in ("", "Verified", "true", "none"):
        with pytest.raises(ValidationError, match="sender_domains"):
            settings(sender_domains=wrong)


def test_routes_are_off_where_nothing_is_said_because_nothing_is_sent_by_them_yet() -> None:
    assert settings().routes == "off"
    for one in ("public", "any"):
        assert settings(routes=one).routes == one
    for wrong in ("", "on", "Public", "private"):
        with pytest.raises(ValidationError, match="routes"):
            settings(routes=wrong)


def test_a_child_process_gets_the_same_settings_secrets_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = settings(
        message_keys=("00" * 16, "01" * 16),
        directory_token=SecretStr("s3cret"),
        hour=timedelta(seconds=7),
        trusted_proxies="10.0.0.0/8",
        complaint_rate_limit=0.25,
    )
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == made


def test_secrets_are_in_no_representation() -> None:
    made = settings(message_keys=("ab" * 16,), directory_token=SecretStr("s3cret"))
    assert "ab" * 16 not in repr(made) + str(made)
    assert "s3cret" not in repr(made) + str(made)


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ({}, ""),
        ({"hour": timedelta(seconds=10)}, "CAMPAIGNS_HOUR is 10 s"),
        ({"day": timedelta(days=2)}, "CAMPAIGNS_DAY is 172,800 s"),
        (
            {"hour": timedelta(seconds=7), "day": timedelta(seconds=20)},
            "CAMPAIGNS_HOUR is 7 s and CAMPAIGNS_DAY is 20 s",
        ),
    ],
)
def test_an_hour_or_day_of_another_length_is_warned_of(
    more: dict[str, timedelta], warning: str
) -> None:
    said = settings(**more).shortened()
    assert said.partition(":")[0] == warning


@pytest.mark.parametrize(
    ("session", "interval"),
    [(0.6, 0.1), (6, 1), (18, 3), (30, 3), (180, 3), (1800, 3)],
)
def test_a_long_session_does_not_make_a_member_deaf_to_rebalances(
    session: float, interval: float
) -> None:
    """Seen with 180 s: one that heard of a rebalance after 30 s had been put out of its group."""
    told = settings(session_timeout=timedelta(seconds=session))
    assert told.heartbeat_interval == timedelta(seconds=interval)
