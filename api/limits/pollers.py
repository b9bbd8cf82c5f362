"""Event streams of a tenant: one poller looks for all of them, and the number of them is limited.

A poller asks PostgreSQL once for everything that its streams show, twice a second while something
changes and less often while nothing does. It compares the live views, which are in memory, at every
turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Hashable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Protocol

from streams.errors import DependencyDownError, RateLimitedError

#: Event streams that are open at once: of one key or user, of one tenant, and of this process.
STREAMS_PER_KEY = 20
STREAMS_PER_TENANT = 50
STREAMS = 400
TURN = 0.5  # seconds between two turns; live stats are promised within 1.5 s
SLOWEST = 2.0  # seconds between two reads of PostgreSQL while nothing changes
_CHECKED = 10.0  # seconds between two checks that a credential is still good

Topic = Hashable
IsGood = Callable[[], Awaitable[bool]]


class Sight(Protocol):
    """Everything that the streams of one tenant show."""

    async def read(self, topics: Collection[Topic]) -> None:
        """Read what these topics need from PostgreSQL. Raises DependencyDownError."""

    def version(self) -> object:
        """Equal to the one before while `shown` would be, as far as memory tells; cheap."""

    def shown(self) -> Mapping[Topic, str | None]:
        """The text of each topic that has been read; None for one that does not exist any more."""


class Pollers:
    """The pollers of all tenants that have event streams."""

    def __init__(self) -> None:
        self._of: dict[str, _Poller] = {}
        self._open = Counter[str]()

    @asynccontextmanager
    async def reader(
        self, tenant: str, key_id: str, topic: Topic, sight: Callable[[], Sight]
    ) -> AsyncIterator[Reader]:
        """One more event stream, until the block ends. `sight` makes the tenant's sight for its
        first stream. Raises RateLimitedError, which names the limit.
        """
        with self._counted(tenant, key_id):
            poller = self._of.get(tenant)
            if poller is None:
                poller = self._of[tenant] = _Poller(sight())
            reader = poller.join(topic)
            try:
                yield reader
            finally:
                if poller.leave(reader):
                    self._of.pop(tenant, None)
                    await poller.stop()

    def nudge(self, tenant: str) -> None:
        """The tenant has changed something: its poller reads at its next turn."""
        if poller := self._of.get(tenant):
            poller.is_due = True

    @contextmanager
    def _counted(self, tenant: str, key_id: str) -> Iterator[None]:
        limits = {
            f"key {key_id}": (STREAMS_PER_KEY, "of one key or user"),
            f"tenant {tenant}": (STREAMS_PER_TENANT, "of one tenant"),
            "all": (STREAMS, "of all tenants"),
        }
        for name, (limit, whose) in limits.items():
            if self._open[name] >= limit:
                raise RateLimitedError(
                    f"{limit} event streams {whose} are open here, which is the limit;"
                    " close one first.",
                    retry_after=5,
                )
        self._open.update(limits.keys())
        try:
            yield
        finally:
            self._open.subtract(limits.keys())
            self._open = +self._open  # forgets those that have none


class Reader:
    """One event stream: the newest text of its topic that it has not had yet."""

    def __init__(self, poller: _Poller, topic: Topic, text: str | None) -> None:
        self._poller, self.topic = poller, topic
        self._text, self._is_over = text, False
        self._error: BaseException | None = None
        self._news = asyncio.Event()
        if text is not None:
            self._news.set()

    async def texts(self, credential: str, is_good: IsGood) -> AsyncIterator[str]:
        """The topic's text, and each one that differs from the one before, until the topic is gone
        or the credential is not good any more. A reader that is slow misses those in between.
        """
        while await self._poller.is_still_good(credential, is_good):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHECKED):
                    await self._news.wait()
            self._news.clear()
            if self._error is not None:
                raise self._error
            if self._is_over:
                return
            text, self._text = self._text, None
            if text is not None:
                yield text

    def put(self, text: str) -> None:
        self._text = text
        self._news.set()

    def end(self, error: BaseException | None = None) -> None:
        self._is_over, self._error = True, error
        self._news.set()


class _Poller:
    """Looks for the readers of one tenant."""

    def __init__(self, sight: Sight) -> None:
        self._sight, self.is_due = sight, True
        self._readers = defaultdict[Topic, set[Reader]](set)
        self._texts: dict[Topic, str | None] = {}
        self._checked: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._work())
        self._task.add_done_callback(self._ended)

    def join(self, topic: Topic) -> Reader:
        reader = Reader(self, topic, self._texts.get(topic))
        self._readers[topic].add(reader)
        if topic not in self._texts:
            self.is_due = True
            self._wake.set()
        return reader

    def leave(self, reader: Reader) -> bool:
        """Whether it was the last one."""
        readers = self._readers[reader.topic]
        readers.discard(reader)
        if not readers:
            del self._readers[reader.topic]
            self._texts.pop(reader.topic, None)
        return not self._readers

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def is_still_good(self, credential: str, is_good: IsGood) -> bool:
        """Asks once for all streams of a credential in ten seconds."""
        now = time.monotonic()
        if now - self._checked.get(credential, float("-inf")) < _CHECKED:
            return True
        self._checked[credential] = now
        try:
            if await is_good():
                return True
        except DependencyDownError:
            return True
        self._checked.pop(credential, None)
        return False

    async def _work(self) -> None:
        pause, read_at, version = TURN, float("-inf"), object()
        while True:
            self._wake.clear()
            is_due = self.is_due or time.monotonic() - read_at >= pause
            if is_due:
                self.is_due, read_at = False, time.monotonic()
                with suppress(DependencyDownError):  # readers keep what they have
                    await self._sight.read(tuple(self._readers))
            if (newest := self._sight.version()) != version or is_due:
                version = newest
                has_changed = self._show()
                pause = TURN if has_changed else min(2 * pause, SLOWEST)
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN):
                    await self._wake.wait()

    def _show(self) -> bool:
        """Gives every reader what is new to it. Returns whether anything was new."""
        before, self._texts = (
            self._texts,
            {topic: text for topic, text in self._sight.shown().items() if topic in self._readers},
        )
        for topic, text in self._texts.items():
            for reader in self._readers[topic]:
                if text is None:
                    reader.end()
                elif text != before.get(topic):
                    reader.put(text)
        return before != self._texts

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            for readers in self._readers.values():
                for reader in readers:
                    reader.end(task.exception())
