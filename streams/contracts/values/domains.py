"""Domains of senders: one spelling, and which of them covers which."""

from __future__ import annotations

from email_validator import EmailNotValidError, validate_email

#: Characters of a domain. That of its record, ten longer, is below the 253 that DNS takes (RFC
#: 1035, section 2.3.4), and the audit log has room for it.
LONGEST_DOMAIN = 200
_LONGEST_TEXT = 1_000  # characters of an international name before they are converted


def sender_domain(text: str) -> str:
    """The one spelling of a domain: lower case, labels in ASCII (`xn--…`), no full stop at the end.

    The rules are those of the domain of an address (email-validator), so both agree. Raises
    ValueError for what can be no sender's domain, such as a single label, an address or a URL.
    """
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"must have at most {LONGEST_DOMAIN} characters")
    name = text.strip().removesuffix(".")
    try:
        # test_environment: names under .test are for exactly this (RFC 6761)
        found = validate_email(f"x@{name}", check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError("must be a domain with two labels at least: example.com") from error
    domain = (found.ascii_domain or "").lower()
    if found.local_part != "x" or "." not in domain:
        raise ValueError("must be a domain with two labels at least: example.com")
    if len(domain) > LONGEST_DOMAIN:
        raise ValueError(f"must have at most {LONGEST_DOMAIN} characters in ASCII")
    return domain


def domain_of(address: str) -> str | None:
    """The domain of an address in that spelling; None for what is no domain of a sender."""
    _, _, behind = address.rpartition("@")
    try:
        return sender_domain(behind)
    except ValueError:
        return None


def covering(domain: str) -> list[str]:
    """The domains of which each one covers this one: itself and those above it, the longest first,
    without the last label alone.
    """
    labels = domain.split(".")
    return [".".join(labels[place:]) for place in range(len(labels) - 1)]
