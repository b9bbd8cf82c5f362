"""The requests of a route to a provider over HTTP: at most one on its way in each connection, with
one message, or with as many as the provider takes at once.

A kill leaves at most the messages of so many requests in doubt as there are connections.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from agents.delivery.outlets.settling import LOST, Answered
from connectors.delivery.classification import Verdict, of_status
from connectors.delivery.http.client import Client
from connectors.delivery.http.exchange import Answer, Meaning
from connectors.delivery.letters import UnsendableError
from connectors.delivery.outcomes import InDoubt
from connectors.delivery.providers.table import provider_of
from streams.contracts.routes import HttpRoute
from streams.records.messages import Message
from streams.settings import Settings
from tables.tenants.routes import Credentials

# Words of a provider about the route; and no answer, or a fault of its own, leaves its messages in
# doubt, of which there are to be no more.
_FAULTS = frozenset({Verdict.ROUTE, Verdict.THROTTLED, Verdict.CONFIGURATION, Verdict.DOUBT})
_REPLACED = replace(LOST, reason="the route was replaced or removed")
_HIDDEN = "<secret>"


@dataclass(frozen=True)
class _Waiting:
    message: Message
    may_begin: Callable[[], bool]
    answer: asyncio.Future[Answered]


class Calls:
    """The way of messages to a provider over HTTP."""

    faults = _FAULTS

    def __init__(self, settings: Settings, route: HttpRoute, credentials: Credentials) -> None:
        self._route, self._credentials = route, credentials
        self._provider = provider_of(route, credentials)
        self._client = Client(settings, route)
        self._connections, self._is_over = 0, False
        self._waiting = deque[_Waiting]()
        self._callers = set[asyncio.Task[None]]()

    @property
    def in_each(self) -> int:
        return self._provider.batch

    @property
    def window(self) -> timedelta | None:
        return self._provider.window

    def share(self, connections: int) -> None:
        self._connections = connections

    async def hand_off(self, message: Message, may_begin: Callable[[], bool]) -> Answered:
        one = _Waiting(message, may_begin, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if len(self._callers) < self._connections:
            caller = asyncio.create_task(self._call())
            self._callers.add(caller)
            caller.add_done_callback(self._callers.discard)
        return await one.answer

    def rest(self) -> None:
        """Idle connections end by themselves."""

    def cut(self) -> None:
        self._is_over = True
        closing = asyncio.create_task(self._client.close())
        self._callers.add(closing)
        closing.add_done_callback(self._callers.discard)

    async def close(self, patience: timedelta) -> None:
        if self._callers:
            await asyncio.wait(self._callers, timeout=patience.total_seconds())
        self._is_over = True
        await self._client.close()

    async def _call(self) -> None:
        """Send what waits, until nothing does."""
        await asyncio.sleep(0)  # the others of the same step join it
        while self._waiting:
            count = min(self.in_each, len(self._waiting))
            await self._send([self._waiting.popleft() for _ in range(count)])

    async def _send(self, ones: Sequence[_Waiting]) -> None:
        begun = [one for one in ones if not self._is_over and one.may_begin()]
        for one in ones:
            if one not in begun:
                one.answer.set_result(_REPLACED if self._is_over else LOST)
        try:
            answers = await self._answers([one.message for one in begun]) if begun else []
        except Exception as error:  # noqa: BLE001  # a bug, which each of them raises
            for one in begun:
                one.answer.set_exception(error)
            return
        for one, answer in zip(begun, answers, strict=True):
            one.answer.set_result(answer)

    async def _answers(self, messages: Sequence[Message]) -> list[Answered]:
        """The answer for each of them."""
        now = datetime.now(UTC)
        try:
            request = self._provider.request(messages, now)
        except (UnsendableError, ValueError) as error:
            unsendable = Answered.of(Verdict.CONTENT, str(error))
            return [replace(unsendable, tells_of_route=False)] * len(messages)
        answer = await self._client.send(request)
        if not isinstance(answer, Answer):
            verdict = Verdict.DOUBT if isinstance(answer, InDoubt) else Verdict.ROUTE
            words = f"{self._route.server[0]} {answer.reason}"
            return [replace(Answered.of(verdict, words), is_of_message=False)] * len(messages)
        if len(messages) > 1 and of_status(answer.status) is Verdict.CONTENT:
            # one of them may be what the provider does not take, or all together are too much
            half = len(messages) // 2
            return [*await self._answers(messages[:half]), *await self._answers(messages[half:])]
        found = self._provider.read(answer, messages)
        return [self._answered(one, answer.pause(now)) for one in found]

    def _answered(self, meaning: Meaning, pause: timedelta) -> Answered:
        """With words that show neither addresses nor credentials."""
        words = meaning.words
        for secret in filter(None, (self._credentials.password, self._credentials.username)):
            words = words.replace(secret, _HIDDEN)
        answered = Answered.of(meaning.verdict, words)
        # a sender that is not set up may be that of this message alone: others are tried before it
        is_of_message = meaning.verdict not in _FAULTS - {Verdict.CONFIGURATION}
        return replace(answered, is_of_message=is_of_message, pause=pause)
