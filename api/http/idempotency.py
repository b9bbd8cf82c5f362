"""`Idempotency-Key` for what is created: a repeat within 24 hours gets the first answer and makes
nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response

from api.http.dependencies import Provided, Services
from api.http.envelope import Schema
from streams.errors import CampaignError, RateLimitedError
from tables.commands import answers
from tables.commands.answers import Answer, Identity, Refusal
from tables.database.connection import Session

S = TypeVar("S", bound=Schema)
Work = Callable[[Session], Awaitable[S]]
Keep = Callable[[S], dict[str, Any]]
_TAG = "eTag"  # of the first answer, beside its members

_KEPT = "a repeat within 24 hours gets the first answer; 1 to 128 printable ASCII characters"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=128, pattern="^[ -~]+$", description=_KEPT
    ),
]


@dataclass(frozen=True)
class FirstAnswers:
    """Carries out a request once; `key` is its Idempotency-Key, None when it has none. The answer
    of a repeat is marked (`mark_repeat`), and has the ETag of the first answer, too.
    """

    request: Request
    services: Services
    response: Response
    key: str | None

    async def answer(
        self,
        tenant: str,
        content: Mapping[str, Any],
        work: Work[S],
        repeat: Callable[[Any], S],
        keep: Keep[S] | None = None,
    ) -> S:
        """The answer of `work` or, for a repeat, `repeat` of the first answer's JSON.

        One transaction: of a refused request only the refusal stays. `content` tells a repeat from
        another request under the same key, which raises ConflictError. The whole answer is
        remembered, or the part that `keep` makes of one that holds secrets or addresses. Raises the
        refusal, the first one again for a repeat.
        """
        if self.key is None:
            async with self.services.database.transaction() as session:
                return await work(session)
        identity = Identity(tenant, "rest", self.key, dict(content))
        async with self.services.database.transaction() as session:
            made = await self._remembered(session, identity, work, keep or _whole)
        if not isinstance(made, Answer):
            return made
        mark_repeat(self.request, made)
        first = dict(made.result() or {})
        if (tag := first.pop(_TAG, None)) is not None:
            self.response.headers["ETag"] = tag
        return repeat(first)

    async def _remembered(
        self, session: Session, identity: Identity, work: Work[S], keep: Keep[S]
    ) -> Answer | S:
        """The answer made now; else the remembered answer, or a refusal."""
        at = datetime.now(UTC)
        if (known := await answers.recall(session, identity, at)) is not None:
            return known
        try:
            async with session.begin_nested():
                made = await work(session)
        except RateLimitedError:
            raise  # a later repeat may find room, so this refusal is not remembered
        except CampaignError as error:
            refused = Answer(error.status, refusal=Refusal.of(error))
            await answers.remember(session, identity, refused, at)
            return refused
        tag = self.response.headers.get("ETag")
        kept = keep(made) | ({} if tag is None else {_TAG: tag})
        await answers.remember(session, identity, Answer(201, campaign=kept), at)
        return made


def mark_repeat(request: Request, answer: Answer) -> None:
    """Says in the answer's headers (api/http/limits.py) that nothing was done: it is the first
    answer again.
    """
    request.state.is_repeat = answer.is_repeat


def _whole(made: Schema) -> dict[str, Any]:
    return made.model_dump(mode="json", by_alias=True)


async def _first_answers(
    request: Request,
    services: Provided,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> FirstAnswers:
    return FirstAnswers(request, services, response, idempotency_key)


Once = Annotated[FirstAnswers, Depends(_first_answers)]
