"""Domains of senders: many spellings become one, and each covers itself and what is below it."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from streams.contracts.fields import Address
from streams.contracts.values.domains import LONGEST_DOMAIN, covering, domain_of, sender_domain

_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)
_LETTERS = string.ascii_lowercase + string.digits
labels = st.text(_LETTERS, min_size=1, max_size=12).map(lambda text: f"a{text}z")
domains = st.lists(labels, min_size=2, max_size=5).map(".".join)
# Letters that domains are registered with, in scripts of several directions, and plain ones.
international = st.text("abzäöüßéñçøåżłαβγδжщыב×–中文日本한국ไทย", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.com", "example.com"),
        (" Example.COM. ", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.Example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え。テスト。example", "xn--r8jz45g.xn--zckzah.example"),
        ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"),
        ("mail.example.co.uk", "mail.example.co.uk"),
        ("acme.test", "acme.test"),
    ],
)
def test_every_spelling_of_a_domain_becomes_one(text: str, domain: str) -> None:
    assert sender_domain(text) == domain == sender_domain(domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "com",
        "test",
        "localhost",
        "mail.localhost",
        "printer.local",
        "1.0.0.127.in-addr.arpa",
        "192.0.2.1",
        "[192.0.2.1]",
        "2001:db8::1",
        "ana@example.com",
        "@example.com",
        '"@example.com',
        "http://example.com",
        "example.com/",
        "example.com:25",
        "example.com..",
        ".example.com",
        "exa mple.com",
        "example.com\n",
        "example.com\0",
        "*.example.com",
        "_campaigns.example.com",
        "-example.com",
        "example-.com",
        "xn--\u00fc.example",
        "xn--a.example",
        "{{ domain }}.example",
        "a" * 64 + ".example",
        "\ud800.example",
        "⒈example.com",
        f"{'a.' * 150}example.com",
        "ü" * 2_000 + ".example",
        "a" * 1_000_000,
    ],
)
def test_what_is_no_domain_of_a_sender_is_refused(text: str) -> None:
    if text == "example.com\n":  # pasted with its line
        assert sender_domain(text) == "example.com"
        return
    with pytest.raises(ValueError, match="must"):
        sender_domain(text)


@given(domains, st.integers(), st.sampled_from(["", ".", " ", ". "]))
def test_case_and_a_last_full_stop_make_no_difference(domain: str, seed: int, end: str) -> None:
    shouted = "".join(
        letter.upper() if seed >> place & 1 else letter for place, letter in enumerate(domain)
    )
    assert sender_domain(shouted + end) == domain


@given(international)
def test_a_name_and_its_ascii_spelling_are_one_domain(label: str) -> None:
    try:
        found = sender_domain(f"{label}.example")
    except ValueError:
        assume(False)
    assert found.isascii() and sender_domain(found) == found
    assert sender_domain(f"{label.upper()}.example") == sender_domain(
        f"{label.upper().lower()}.example"
    )


@given(st.one_of(domains, international.map(lambda label: f"{label}.example")))
def test_the_domain_of_an_address_is_spelled_as_the_address_is_stored(domain: str) -> None:
    try:
        stored = _ADDRESS.validate_python(f"ana@{domain}")
    except ValidationError:
        assume(False)
    assert stored == f"ana@{sender_domain(domain)}"
    assert domain_of(stored) == domain_of(f"ana@{domain}") == sender_domain(domain)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("news@example.com", "example.com"),
        ("аня@bücher.example", "xn--bcher-kva.example"),
        ("a@b@example.com", "example.com"),
        ("example.com", "example.com"),
        ("nobody", None),
        ("a@localhost", None),
        ("", None),
    ],
)
def test_the_domain_of_what_an_earlier_version_stored(address: str, domain: str | None) -> None:
    assert domain_of(address) == domain


@given(domains, st.lists(labels, max_size=4))
def test_a_domain_covers_itself_and_everything_below_it(domain: str, below: list[str]) -> None:
    assert domain in covering(".".join([*below, domain]))


@given(domains, domains)
def test_a_domain_covers_nothing_else(domain: str, other: str) -> None:
    assert (domain in covering(other)) is (other == domain or other.endswith(f".{domain}"))


@given(domains, labels)
def test_what_only_looks_like_it_is_not_covered(domain: str, label: str) -> None:
    for other in (f"{label}-{domain}", f"{label}{domain}", f"{domain}.{label}.example"):
        assert domain not in covering(other)


@given(domains)
def test_a_last_label_alone_covers_nothing(domain: str) -> None:
    assert all("." in one for one in covering(domain))
    assert covering(domain)[0] == domain and len(covering(domain)) == domain.count(".")


def test_a_record_fits_into_dns_and_into_the_audit_log() -> None:
    assert len("_campaigns.") + LONGEST_DOMAIN <= 253
    labels = ["a" * 63, "b" * 63, "c" * 63, "example"]
    longest = ".".join(labels)[-LONGEST_DOMAIN:]
    assert sender_domain(longest) == longest and len(longest) <= LONGEST_DOMAIN
