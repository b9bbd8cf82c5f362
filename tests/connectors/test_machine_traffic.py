"""Machines by user agent and address; whose address it is when proxies stand between."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from pydantic import SecretStr, ValidationError
from starlette.datastructures import Headers

from api.recipients.callers import Machines
from connectors.machine_traffic import is_machine_address, is_machine_agent
from streams.settings import Settings

AGENT = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
PERSON = Headers(AGENT)
GOOGLE_PROXY, EXCHANGE, BARRACUDA = "66.249.84.1", "40.107.13.52", "209.222.82.7"
HOME = "203.0.113.9"


def machines(trusted: str = "") -> Machines:
    return Machines(
        Settings(
            kafka="",
            postgres="",
            nats="",
            message_keys=(SecretStr("00" * 32),),
            trusted_proxies=trusted,
        )
    )


@pytest.mark.parametrize("address", [EXCHANGE, BARRACUDA, "2a01:111:f403::1", f"::ffff:{EXCHANGE}"])
def test_requests_from_the_known_ranges_are_machines(address: str) -> None:
    assert machines().is_machine(PERSON, address)


@pytest.mark.parametrize("address", [HOME, "2001:db8::1", "", None, "testclient", GOOGLE_PROXY])
def test_an_address_that_no_scanner_has_is_a_persons(address: str | None) -> None:
    assert not machines().is_machine(PERSON, address)


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("", HOME, BARRACUDA, False),  # anybody can write the header
        ("10.0.0.0/8", HOME, BARRACUDA, False),
        ("10.0.0.0/8", "10.1.2.3", BARRACUDA, True),
        ("10.0.0.0/8, 192.0.2.0/24", "10.1.2.3", f"{BARRACUDA}, 192.0.2.7", True),
        (
            "10.0.0.0/8",
            "10.1.2.3",
            f"{BARRACUDA}, {HOME}",
            False,
        ),  # what stands before the last foreign address is only claimed
        ("10.0.0.0/8", "10.1.2.3", f"{HOME}, {BARRACUDA}", True),
        ("10.0.0.0/8", "10.1.2.3", "", False),
        ("10.0.0.0/8", "10.1.2.3", "unknown", False),
        ("10.0.0.0/8", "10.1.2.3", "10.9.9.9," * 50 + "10.9.9.9", False),
        ("fd00::/8", "fd00::1", BARRACUDA, True),
    ],
    ids=[
        "no proxy",
        "foreign peer",
        "one proxy",
        "two proxies",
        "claimed",
        "appended",
        "no header",
        "no address",
        "many",
        "IPv6",
    ],
)
def test_the_header_counts_only_as_far_as_proxies_are_trusted(
    trusted: str, peer: str, forwarded: str, expected: bool
) -> None:
    assert (
        machines(trusted).is_machine(Headers({**AGENT, "x-forwarded-for": forwarded}), peer)
        is expected
    )


def test_a_proxy_that_adds_a_line_of_its_own_is_believed_before_the_callers() -> None:
    lines = [(name.encode(), value.encode()) for name, value in AGENT.items()]
    lines += [(b"x-forwarded-for", claimed.encode()) for claimed in (BARRACUDA, HOME)]
    assert not machines("10.0.0.0/8").is_machine(Headers(raw=lines), "10.1.2.3")


def test_a_network_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        machines("10.0.0.0/33")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("40.92.0.0", "40.93.255.255"),
        ("40.107.0.0", "40.107.255.255"),
        ("52.100.0.0", "52.103.255.255"),
        ("104.47.0.0", "104.47.127.255"),
        ("2a01:111:f400::", "2a01:111:f400:ffff:ffff:ffff:ffff:ffff"),
        ("2a01:111:f403::", "2a01:111:f403:ffff:ffff:ffff:ffff:ffff"),
        ("209.222.80.0", "209.222.87.255"),
    ],
)
def test_a_range_ends_where_its_owner_says(first: str, last: str) -> None:
    begins, ends = ip_address(first), ip_address(last)
    assert is_machine_address(begins)
    assert is_machine_address(ends)
    assert not is_machine_address(begins - 1)
    assert not is_machine_address(ends + 1)


@pytest.mark.parametrize(
    ("agent", "is_machine"),
    [
        ("Mozilla/5.0", True),  # the whole of what Mail Privacy Protection says
        (" Mozilla/5.0 ", True),
        ("Mozilla/5.0 (Macintosh)", False),
        ("Mozilla/4.0", False),
        # these two fetch when a person opens the mail
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", False),
        ("Mozilla/5.0 (Windows NT 5.1) (via ggpht.com GoogleImageProxy)", False),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/42.0 Safari/537.36 Edge/12.246 Mozilla/5.0", True),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/42.0 Safari/537.36 Edge/12.246", False),
        ("Gmail-Content-Sampling", True),
        ("Mozilla/5.0 BingPreview/1.0b", True),
        ("Mozilla/5.0 SkypeUriPreview Preview/0.5", True),
        ("", False),
    ],
)
def test_an_agent_is_a_machines_by_what_it_says_of_itself(agent: str, is_machine: bool) -> None:
    assert is_machine_agent(agent) is is_machine
    assert is_machine_agent(agent.upper()) is is_machine
