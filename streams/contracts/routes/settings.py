"""The settings that every route has; a kind of route adds those of its provider."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from math import exp, log
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from streams.contracts.fields import MAX_INTEGER, Body, Channel, Duration
from streams.contracts.values.domains import sender_domain

#: Of a route: each of them is looked up in DNS when the route is checked.
MOST_DOMAINS = 20
_MOST_TAGS = 20
_LONGEST_AGE = timedelta(days=7)
_ROUNDING = 1e-6  # of a logarithm and back
_DURATIONS = TypeAdapter(timedelta)

OnDoubt = Literal["resend", "hold", "drop"]
Tls = Literal["starttls", "tls", "none"]


def distinct(values: list[str]) -> list[str]:
    """The values, each once."""
    return list(dict.fromkeys(values))


def _age(value: str) -> str:
    if _DURATIONS.validate_python(value) > _LONGEST_AGE:
        raise ValueError(f"must be at most P{_LONGEST_AGE.days}D")
    return value


Domain = Annotated[str, StringConstraints(max_length=255), AfterValidator(sender_domain)]
Domains = Annotated[
    list[Domain], Field(min_length=1, max_length=MOST_DOMAINS), AfterValidator(distinct)
]
_Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Tags = Annotated[list[_Tag], Field(max_length=_MOST_TAGS), AfterValidator(distinct)]
_Rate = Annotated[int, Field(strict=True, ge=1, le=MAX_INTEGER)]


class RouteLimits(Body):
    """The most that the route takes; null = no limit of its own."""

    per_second: _Rate | None = None
    per_hour: _Rate | None = None
    per_day: _Rate | None = None
    connections: Annotated[int, Field(strict=True, ge=1, le=100)] = 8


class Warmup(Body):
    """A new route is trusted slowly: `perHour` on the first day, and `factor` times as much on each
    day after it. `overflow`: what is more than that waits, or goes to the next route.
    """

    starts_at: date
    per_hour: _Rate = 20
    factor: Annotated[float, Field(gt=1, le=10)] = 1.4
    overflow: Literal["wait", "next"] = "wait"

    def per_hour_at(self, at: datetime) -> int:
        """The limit on the day of this time, in UTC; that of the first day before it."""
        days = max(0, (at.astimezone(UTC).date() - self.starts_at).days)
        grown = log(self.per_hour) + days * log(self.factor)
        return MAX_INTEGER if grown >= log(MAX_INTEGER) else int(exp(grown) + _ROUNDING)


class Retry(Body):
    """How long a message that is put off is tried again."""

    max_age: Annotated[Duration, AfterValidator(_age)] = "P1D"

    @property
    def longest(self) -> timedelta:
        """`max_age` as a time."""
        return _DURATIONS.validate_python(self.max_age)


class RouteSettings(Body):
    """A way out of one channel. `priority`: the lowest number is taken first; `weight`: the share
    among routes of the same priority. `onDoubt`: what becomes of a message that was handed over and
    never answered, where repeating it could make it two.

    To validate a value makes it one of the `kinds`, by its `provider`.
    """

    #: By provider; set on this class, and on one that offers kinds of its own.
    kinds: ClassVar[Mapping[str, type[RouteSettings]]]
    #: The credentials without which the provider lets nobody in.
    needs: ClassVar[tuple[str, ...]] = ()

    channel: Channel
    provider: str
    priority: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    weight: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 100
    tags: _Tags = Field(default_factory=list)
    limits: RouteLimits = RouteLimits()
    warmup: Warmup | None = None
    retry: Retry = Retry()
    on_doubt: OnDoubt = "resend"

    @property
    @abstractmethod
    def server(self) -> tuple[str, int, Tls]:
        """The host and the port that it leads to, and how the way there is protected."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether it may lead to a public address without TLS."""

    @property
    def destination(self) -> tuple[object, ...]:
        """Where credentials are sent, and how they are protected on the way."""
        return (self.provider, *self.server, self.is_open)

    @property
    def told(self) -> dict[str, object]:
        """The server in the words of the audit log; no part of an address that may be secret."""
        host, port, tls = self.server
        return {"host": host, "port": port, "tls": tls}

    @abstractmethod
    def takes(self, sender: str) -> bool:
        """Whether messages of this sender leave by it: the domain of From of email, else the sender
        id, empty where a message has none.
        """

    @property
    def domains(self) -> list[str]:
        """The domains that it sends email from; empty for other channels."""
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if "kinds" not in vars(cls) or isinstance(value, cls):
            return handler(value)
        provider = value.get("provider") if isinstance(value, dict) else None
        kind = cls.kinds.get(provider) if isinstance(provider, str) else None
        if kind is None:
            names = ", ".join(f"`{name}`" for name in cls.kinds)
            wrong = PydanticCustomError("provider", "must be one of {names}", {"names": names})
            [detail] = [InitErrorDetails(type=wrong, loc=("provider",), input=None)]
            raise ValidationError.from_exception_data(cls.__name__, [detail], hide_input=True)
        made = kind.model_validate(value)
        assert isinstance(made, cls)
        return made

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if "kinds" not in vars(cls):
            return handler(core)
        one_of = [handler(kind.__pydantic_core_schema__) for kind in cls.kinds.values()]
        return {"oneOf": one_of, "discriminator": {"propertyName": "provider"}}
