"""The domains for bounces as the listener knows them."""

from __future__ import annotations

from agents.bounces.listening import Domains
from tables.models import Route


def route(tenant: str, domain: str) -> Route:
    return Route(tenant_id=tenant, name="relay", settings={"bounces": {"domain": domain}})


def test_a_domain_is_known_with_every_tenant_that_has_set_it_up() -> None:
    domains = Domains()
    assert not domains.are_known
    domains.learn(
        [route("acme", "b.example"), route("globex", "b.example"), route("acme", "c.example")]
    )
    assert domains.are_known
    assert domains.of("b.example") == {"acme", "globex"}
    assert domains.of("c.example") == {"acme"}
    assert domains.of("d.example") == set()


def test_a_domain_that_is_gone_is_forgotten() -> None:
    domains = Domains()
    domains.learn([route("acme", "b.example")])
    domains.learn([])
    assert domains.are_known and domains.of("b.example") == set()
