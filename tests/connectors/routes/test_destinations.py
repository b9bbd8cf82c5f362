"""Which addresses a tenant's route may lead to."""

from __future__ import annotations

import pytest

from connectors.routes.destinations import NoWayError, destinations, is_public, refused
from tests.connectors.routes.given import route, settings

PUBLIC = (
    *("8.8.8.8", "1.1.1.1", "193.0.6.139", "2001:4860:4860::8888", "2620:fe::fe"),
    *("::ffff:8.8.8.8", "64:ff9b::808:808"),
)
PRIVATE = (
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.9"),
    *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.0.170"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:808:808::", "::127.0.0.1"),
    *("2001:0:53aa:64c::1", "100::1", "64:ff9b:1::1", "fec0::1", "5f00::1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_everybody_meets_the_same_machine_there(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_only_some_can_reach_is_not_public_in_any_spelling(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.7", "169.254.169.254", "::1"])
def test_an_address_that_is_not_public_is_refused_unless_any_is_allowed(host: str) -> None:
    [error] = refused(settings(routes="public"), route(host=host))
    assert error.field == "host" and "CAMPAIGNS_ROUTES" in error.message
    assert refused(settings(routes="any"), route(host=host)) == ()


def test_without_tls_a_public_address_is_refused_unless_it_is_said_explicitly() -> None:
    for routes in ("public", "any"):
        here = settings(routes=routes)
        [error] = refused(here, route(host="8.8.8.8"))
        assert error.field == "tls" and "allowPlaintext" in error.message
        assert refused(here, route(host="8.8.8.8", allowPlaintext=True)) == ()
        assert refused(here, route(host="8.8.8.8", tls="starttls")) == ()


def test_a_name_is_judged_by_its_addresses_when_it_is_used() -> None:
    for name in ("relay.example", "localhost.example", "internal"):
        assert refused(settings(routes="public"), route(host=name)) == ()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_where_only_public_ones_are_allowed_nothing_leads_to_this_machine(host: str) -> None:
    with pytest.raises(NoWayError, match="must have public addresses only") as refusal:
        await destinations(settings(routes="public"), route(host=host))
    assert "127" not in str(refusal.value)
    found = await destinations(settings(routes="any"), route(host=host, port=2525))
    assert found and all(one.port == 2525 and not one.is_public for one in found)


async def test_a_public_address_is_connected_to_with_tls_only() -> None:
    with pytest.raises(NoWayError, match="allowPlaintext"):
        await destinations(settings(), route(host="8.8.8.8"))
    [found] = await destinations(settings(routes="public"), route(host="8.8.8.8", tls="tls"))
    assert (found.address, found.port, found.is_public) == ("8.8.8.8", 25, True)


async def test_a_name_without_an_address_is_said_to_have_none() -> None:
    with pytest.raises(NoWayError, match="has no address"):
        await destinations(settings(), route(host="nowhere.invalid"))
