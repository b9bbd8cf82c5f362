"""DNS as one check of a route asks it: each question once, and not too many of them."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.exception
import dns.name

from connectors.domains.name_servers import records
from streams.errors import DependencyDownError
from streams.settings import Settings

# A record of SPF may lead to a hundred questions, and a tenant writes it: twenty ordinary domains
# need fewer than this.
_MOST_QUESTIONS = 400
_AT_ONCE = 8


class Names:
    """Answers of DNS, remembered for as long as the check lasts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._answers = dict[tuple[str, str], asyncio.Future[list[Any] | None]]()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def records(self, name: str, kind: str) -> list[Any] | None:
        """As `name_servers.records`; None also for a text that can be no name. Raises
        DependencyDownError, also when the check has asked too much.
        """
        try:
            dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return None
        question = (name.lower(), kind)
        if question not in self._answers:
            if len(self._answers) >= _MOST_QUESTIONS:
                raise DependencyDownError(f"A check asks DNS {_MOST_QUESTIONS} questions at most.")
            self._answers[question] = asyncio.ensure_future(self._ask(*question))
        return await asyncio.shield(self._answers[question])

    async def texts(self, name: str) -> list[bytes]:
        """The values of the TXT records of a name, the strings of each one joined; none when there
        is no such name. Raises DependencyDownError.
        """
        return [b"".join(one.strings) for one in await self.records(name, "TXT") or ()]

    async def addresses(self, name: str) -> list[str]:
        """Raises DependencyDownError."""
        found = [await self.records(name, kind) or () for kind in ("A", "AAAA")]
        return [one.address for kind in found for one in kind]

    async def close(self) -> None:
        """Gives up what is still being asked."""
        asked = list(self._answers.values())
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, name: str, kind: str) -> list[Any] | None:
        async with self._turns:
            return await records(self.settings, name, kind)
