"""Kafka's ACLs are those of the pipeline: each process reads what its agents and services read, and
nothing of the topics is left out.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.delivery.worker import Deliver
from agents.topology import ROLES
from connectors.simulator.service import Simulator
from streams.kafka.rights import PROCESSES, commands, rules
from streams.process.mover import Mover
from streams.topics import TOPICS, Name

_MARK_IS_READ = (Name.INSTALLATION, "Read")
# What others than our processes write or read.
_FROM_OUTSIDE = {Name.COMMANDS}
_TO_OUTSIDE = {
    Name.COMMAND_RESULTS,
    Name.PERFORMANCE,
    Name.DEAD_LETTERS,
}


def test_every_process_has_its_rights_and_every_topic_is_read_and_written() -> None:
    assert set(PROCESSES) == {*ROLES, "api", "setup", "simulate"}
    reading = {rule.process for rule in rules() if (rule.name, rule.operation) == _MARK_IS_READ}
    assert reading == set(PROCESSES)
    read = {topic for rights in PROCESSES.values() for topic in rights.reads}
    written = {topic for rights in PROCESSES.values() for topic in rights.writes}
    assert read | {Name.INSTALLATION} | _TO_OUTSIDE == written | _FROM_OUTSIDE == set(TOPICS)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_worker_reads_what_the_map_of_the_pipeline_says(role: str) -> None:
    rights, plan = PROCESSES[role], ROLES[role]
    wanted = {agent.source for agent in plan.agents}
    groups = {f"campaigns-{role}"} if plan.agents else set()
    if plan.agents or Deliver in plan.services:
        state = Name(f"campaigns-{role}-state")
        wanted.add(state)
        assert state in rights.writes
        assert f"campaigns-{role}-" in rights.transactions
    for service in plan.services:
        if isinstance(service, type) and issubclass(service, Mover):
            wanted |= set(service.reads)
            groups.add(f"campaigns-{service.name}")
    if plan.watching:
        wanted.add(Name.STATS)
    assert (set(rights.reads), set(rights.groups)) == (wanted, groups)


def test_messages_are_read_by_their_deliverer_and_the_simulator_alone() -> None:
    assert set(PROCESSES["simulate"].reads) == set(Simulator.reads)
    readers = [name for name, rights in PROCESSES.items() if Name.MESSAGES in rights.reads]
    assert readers == ["deliver", "simulate"]


def test_the_lines_say_the_rules_once_each_with_the_prefix_before_every_name() -> None:
    lines, found = list(commands("x-", "u-")), set()
    for line in lines:
        words = line.split()
        told = dict(pairwise(words))
        user = told["--allow-principal"].removeprefix("User:u-")
        operation, is_prefix = told["--operation"], told["--resource-pattern-type"] == "prefixed"
        for option in ("topic", "group", "transactional-id"):
            names = [b for a, b in pairwise(words) if a == f"--{option}"]
            found |= {(user, option, is_prefix, operation, name) for name in names}
    expected = {
        (rule.process, rule.resource, rule.is_prefix, rule.operation, rule.name)
        for rule in rules("x-")
    }
    assert found == expected
    assert all(name.startswith("x-") for *_, name in found)
    assert len(lines) == len(set(lines))


def test_nobody_but_the_setup_may_make_or_alter_a_topic_and_nobody_may_delete_one() -> None:
    for rule in rules():
        assert rule.operation not in ("All", "Delete", "ClusterAction")
        if rule.operation in ("Create", "AlterConfigs", "DescribeConfigs"):
            assert rule.process == "setup"
