"""The rights of each process in Kafka, where brokers ask: the topics that it reads and writes, its
groups and transactional ids, and Kafka's ACLs made of that.

Every process looks at the number of partitions of all topics when it starts, so all of them may be
described, and compares the mark of the installation with PostgreSQL. An idempotent producer needs
nothing more than WRITE on a topic (KIP-679).
https://kafka.apache.org/documentation/#operations_resources_and_protocols
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Literal

from streams.topics import STATES, Name

Resource = Literal["topic", "group", "transactional-id"]


@dataclass(frozen=True)
class Rights:
    """Of the processes of one kind. `groups` are whole names, `transactions` the beginnings of
    transactional ids, both without the prefix of the installation.
    """

    reads: Sequence[Name] = ()
    writes: Sequence[Name] = ()
    groups: Sequence[str] = ()
    transactions: Sequence[str] = ()
    is_setup: bool = False


#: Process -> its rights. A test compares them with the pipeline's map and with real processes.
PROCESSES: Mapping[str, Rights] = MappingProxyType(
    {
        # it marks the topics of a new installation
        "setup": Rights(
            reads=(*STATES, Name.STATS),
            writes=(*STATES, Name.INSTALLATION),
            groups=("campaigns-deliver",),  # whether it has ever read
            is_setup=True,
        ),
        "api": Rights(
            reads=(Name.STATS, Name.CONTROL_STATE),
            writes=(Name.INCOMING, Name.DEAD_LETTERS),
        ),
        "control": Rights(
            reads=(Name.COMMANDS, Name.SENDING, Name.MILESTONES, Name.CONTROL_STATE, Name.STATS),
            writes=(
                Name.CONTROL_STATE,
                Name.COMMAND_RESULTS,
                Name.GRANTS,
                Name.MILESTONES,
                Name.DEAD_LETTERS,
                # the ticker's, and what the relay brings out of the outbox
                Name.SENDING,
                Name.EVENTS,
                Name.EXPANSIONS,
                Name.MESSAGES,
                Name.FACTS,
                Name.PERFORMANCE,
                Name.INSTALLATION,
            ),
            groups=("campaigns-control",),
            transactions=("campaigns-control-", "campaigns-outbox-relay"),
        ),
        "expand": Rights(
            reads=(Name.EXPANSIONS, Name.EXPAND_STATE),
            writes=(Name.EXPAND_STATE, Name.EXPANSIONS, Name.SENDING, Name.DEAD_LETTERS),
            groups=("campaigns-expand",),
            transactions=("campaigns-expand-",),
        ),
        "emit": Rights(
            reads=(Name.GRANTS, Name.EMIT_STATE),
            writes=(
                Name.EMIT_STATE,
                Name.MESSAGES,
                Name.FACTS,
                Name.SENDING,
                Name.GRANTS,
                Name.DEAD_LETTERS,
            ),
            groups=("campaigns-emit",),
            transactions=("campaigns-emit-",),
        ),
        "stats": Rights(
            reads=(Name.FACTS, Name.FOLD_STATE, Name.INCOMING),
            writes=(
                Name.FOLD_STATE,
                Name.STATS,
                Name.MESSAGE_EVENTS,
                Name.FACTS,
                Name.DEAD_LETTERS,
            ),
            groups=("campaigns-stats", "campaigns-ingest", "campaigns-project"),
            transactions=("campaigns-stats-",),
        ),
        "deliver": Rights(
            reads=(Name.MESSAGES, Name.DELIVER_STATE),
            writes=(Name.DELIVER_STATE, Name.INCOMING, Name.SENDING, Name.DEAD_LETTERS),
            groups=("campaigns-deliver",),
            transactions=("campaigns-deliver-",),
        ),
        "bridge": Rights(
            reads=(Name.EVENTS, Name.MESSAGE_EVENTS),
            writes=(Name.DEAD_LETTERS,),
            groups=("campaigns-bridge",),
        ),
        "simulate": Rights(
            reads=(Name.MESSAGES,),
            writes=(Name.INCOMING,),
            groups=("campaigns-simulate",),
        ),
    }
)


@dataclass(frozen=True, order=True)
class Rule:
    """One ACL: the operation, as Kafka's tool spells it, is allowed on the resource of this name,
    or on all whose names begin so.
    """

    process: str
    resource: Resource
    is_prefix: bool
    operation: str
    name: str


def rules(prefix: str = "") -> list[Rule]:
    """All of them, for an installation with this topic prefix, in a fixed order."""
    return sorted(
        {rule for process, rights in PROCESSES.items() for rule in _of(process, rights, prefix)}
    )


def _of(process: str, rights: Rights, prefix: str) -> Iterator[Rule]:
    operations = ["Describe"]
    if rights.is_setup:  # `campaigns prepare` and `campaigns topics`
        operations += ["Create", "DescribeConfigs", "AlterConfigs"]
    for topic in Name:
        for operation in operations:
            yield Rule(process, "topic", False, operation, prefix + topic)
    for topic in (Name.INSTALLATION, *rights.reads):
        yield Rule(process, "topic", False, "Read", prefix + topic)
    for topic in rights.writes:
        yield Rule(process, "topic", False, "Write", prefix + topic)
    for group in rights.groups:
        yield Rule(process, "group", False, "Read", prefix + group)
    for transaction in rights.transactions:
        yield Rule(process, "transactional-id", True, "Write", prefix + transaction)
        yield Rule(process, "transactional-id", True, "Describe", prefix + transaction)


def commands(prefix: str = "", users: str = "campaigns-") -> Iterator[str]:
    """Lines for a shell in which `$SERVERS` names the brokers and `$CONFIG` a file that lets an
    administrator in. The user of a process is `users` and the name of the process.
    """

    def kind(rule: Rule) -> tuple[str, Resource, bool, str]:
        return rule.process, rule.resource, rule.is_prefix, rule.operation

    for (process, resource, is_prefix, operation), of_kind in groupby(rules(prefix), kind):
        pattern = "prefixed" if is_prefix else "literal"
        names = " ".join(f"--{resource} {rule.name}" for rule in of_kind)
        yield (
            'kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$CONFIG" --add'
            f" --allow-principal User:{users}{process} --operation {operation}"
            f" --resource-pattern-type {pattern} {names}"
        )
