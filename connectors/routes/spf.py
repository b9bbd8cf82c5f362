"""SPF: whether a domain's record lets an address send for it (RFC 7208).

Left out are macros, `ptr` and `exists`: they match nothing here, which the finding does not take
for an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from connectors.routes.findings import Finding, Part, Record, Verdict
from connectors.routes.names import Names

_MOST_LOOKUPS = 10  # section 4.6.4
_MOST_EXCHANGERS = 10  # likewise
_NOBODY = "192.0.2.1"  # of no machine (RFC 5737)
_VERSION = b"v=spf1"
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_MECHANISM = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?::([^/]+))?((?:/\d+)?(?://\d+)?)",
    re.IGNORECASE,
)
_NETWORK = re.compile(r"([+?~-]?)(ip[46]):([0-9a-f.:]+(?:/\d+)?)", re.IGNORECASE)


class BrokenError(Exception):
    """The record is one that receivers do not evaluate; the text is what is wrong with it."""


@dataclass(frozen=True)
class _Mechanism:
    sign: str
    name: str
    value: str
    masks: tuple[int, int]  # of IPv4 and IPv6


async def spf(names: Names, domain: str, addresses: list[str]) -> Finding:
    """The verdict of a sender's domain, by its record, on the relay's addresses. Raises
    DependencyDownError.
    """
    own = " ".join(f"ip{ip_address(one).version}:{one}" for one in addresses)
    try:
        everybody = await result(names, domain, _NOBODY)
        results = [await result(names, domain, one) for one in addresses]
    except BrokenError as error:
        return Finding(
            Part.SPF, Verdict.ERROR, domain, f"The SPF record is not evaluated: it {error}."
        )
    if everybody is None:
        value = f"v=spf1 {own} ~all" if own else None
        return Finding(
            Part.SPF,
            Verdict.ERROR,
            domain,
            "There is no SPF record. Where the relay is a provider's, set the one that it names;"
            " else one with the addresses from which its mail leaves.",
            Record(domain, "TXT", value),
        )
    if everybody == "pass":
        said = "The SPF record lets everybody send for the domain: it must not end with `+all`."
        return Finding(Part.SPF, Verdict.ERROR, domain, said)
    if all(one == "pass" for one in results):
        said = "names the relay" if results else "is there"
        return Finding(Part.SPF, Verdict.OK, domain, f"The SPF record {said}.")
    said = (
        "The SPF record does not name the relay's own address. That is right where its mail leaves"
        " from other addresses, which a provider names; else put this into the record:"
        f" {own}"
    )
    return Finding(Part.SPF, Verdict.WARNING, domain, said)


async def result(names: Names, domain: str, address: str) -> str | None:
    """`pass`, `fail`, `softfail` or `neutral`; None without a record. Raises BrokenError and
    DependencyDownError.
    """
    return await _Evaluation(names, address).of(domain)


class _Evaluation:
    """`check_host` for one address (section 4)."""

    def __init__(self, names: Names, address: str) -> None:
        self._names, self._address = names, ip_address(address)
        self._left = _MOST_LOOKUPS

    async def of(self, domain: str) -> str | None:
        record = await _record(self._names, domain)
        if record is None:
            return None
        redirect = ""
        terms = [_term(text) for text in record.split()[1:]]
        for term in terms:
            if isinstance(term, _Mechanism):
                if await self._matches(term, domain):
                    return {"-": "fail", "~": "softfail", "?": "neutral"}.get(term.sign, "pass")
            elif term[0] == "redirect":
                redirect = term[1]
        if not redirect:
            return "neutral"
        self._count()
        if (there := await self.of(redirect)) is None:
            raise BrokenError("redirects to a domain without an SPF record")
        return there

    async def _matches(self, term: _Mechanism, domain: str) -> bool:
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._address in ip_network(term.value, strict=False)
        self._count()
        target = term.value or domain
        if term.name in ("ptr", "exists") or "%" in target:
            return False
        if term.name == "include":
            if (there := await self.of(target)) is None:
                raise BrokenError("includes a domain without an SPF record")
            return there == "pass"
        hosts = [target]
        if term.name == "mx":
            found = await self._names.records(target, "MX") or ()
            hosts = [one.exchange.to_text(omit_final_dot=True) for one in found][:_MOST_EXCHANGERS]
        return any([await self._has(host, term.masks) for host in hosts])

    async def _has(self, host: str, masks: tuple[int, int]) -> bool:
        kind = "A" if isinstance(self._address, IPv4Address) else "AAAA"
        mask = masks[0] if isinstance(self._address, IPv4Address) else masks[1]
        found = await self._names.records(host, kind) or ()
        return any(
            self._address in ip_network(f"{one.address}/{mask}", strict=False) for one in found
        )

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise BrokenError(f"needs more than {_MOST_LOOKUPS} look-ups in DNS")


async def _record(names: Names, domain: str) -> str | None:
    found = [
        value
        for value in await names.texts(domain)
        if value.lower() == _VERSION or value.lower().startswith(_VERSION + b" ")
    ]
    if len(found) > 1:
        raise BrokenError("is not the only one: a domain has one SPF record, in one TXT record")
    return found[0].decode("latin-1") if found else None


def _term(text: str) -> _Mechanism | tuple[str, str]:
    """A mechanism, or the name and the value of a modifier. Raises BrokenError."""
    if modifier := _MODIFIER.fullmatch(text):
        return modifier[1].lower(), modifier[2]
    if network := _NETWORK.fullmatch(text):
        try:
            found = ip_network(network[3], strict=False)
        except ValueError:
            raise BrokenError("has a network that is none") from None
        if f"ip{found.version}" != network[2].lower():
            raise BrokenError("has a network that is none")
        return _Mechanism(network[1], network[2].lower(), str(found), (32, 128))
    mechanism = _MECHANISM.fullmatch(text)
    if mechanism is None:
        raise BrokenError("has a term that SPF does not know")
    sign, name, value, masks = mechanism[1], mechanism[2].lower(), mechanism[3] or "", mechanism[4]
    needs, allows = name in ("include", "exists"), name in ("include", "exists", "a", "mx", "ptr")
    if name in ("ip4", "ip6") or (needs and not value) or (value and not allows):
        raise BrokenError("has a term that SPF does not know")
    return _Mechanism(sign, name, value, _masks(name, masks))


def _masks(name: str, text: str) -> tuple[int, int]:
    if text and name not in ("a", "mx"):
        raise BrokenError("has a term that SPF does not know")
    four, _, six = text.partition("//")
    masks = int(four.removeprefix("/") or 32), int(six or 128)
    if masks[0] > 32 or masks[1] > 128:
        raise BrokenError("has a network that is none")
    return masks
