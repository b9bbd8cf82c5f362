"""What the supervisor promises about processes, on processes that do nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil
import pytest

from connectors.local.engines.engine import EngineError
from connectors.local.engines.process import cut
from connectors.local.stack import status
from connectors.local.stack.home import Home, without_secrets
from connectors.local.stack.home_folder import HomeError
from connectors.local.stack.supervisor import Supervisor, counts_of
from connectors.local.stack.unit import (
    ABSENT,
    Duty,
    Health,
    Pace,
    State,
    Unit,
    Watchdog,
    pause_after,
    reported,
)
from tests.eventually import eventually, eventually_sync

_SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
_DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN);"
    " print('deaf', flush=True); time.sleep(600)",
]


def _duty(tmp_path: Path, command: list[str]) -> Duty:
    log, within = tmp_path / "dummy.log", timedelta(seconds=0.5)
    return Duty(
        "dummy-1",
        "dummy",
        lambda: command,
        lambda pid: Health(is_ready=True),
        log,
        stop_within=within,
    )


def _is_replaced(unit: Unit, old: int) -> bool:
    return unit.pid not in (None, old) and unit.state is State.READY


@asynccontextmanager
async def _running(duty: Duty) -> AsyncIterator[Unit]:
    unit = Unit(duty)
    task = asyncio.create_task(unit.run())
    try:
        yield unit
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await unit.stop()
        assert unit.state is State.STOPPED
        assert unit.pid is None


async def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    async with _running(_duty(tmp_path, _SLEEPS)) as unit:
        await eventually(lambda: unit.state is State.READY)
        for _ in range(3):
            before = unit.pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            await eventually(partial(_is_replaced, unit, before), within=300)
        assert unit.starts == 4
        assert "ended with code -9" in unit.failure


async def test_a_process_that_ends_again_and_again_is_started_less_and_less_often(
    tmp_path: Path,
) -> None:
    async with _running(
        _duty(tmp_path, [sys.executable, "-c", "print('no settings'); raise SystemExit(70)"])
    ) as unit:
        await eventually(lambda: unit.starts == 3)
        await eventually(lambda: unit.state is State.BACKING_OFF)
        assert "ended with code 70: no settings" in unit.failure
    assert [pause_after(deaths) for deaths in (1, 2, 3, 4, 100)] == [0.1, 0.2, 0.4, 0.8, 5.0]


async def test_what_cannot_be_prepared_is_tried_again_with_the_reason_shown(tmp_path: Path) -> None:
    def prepare() -> list[str]:
        raise EngineError("the jars are missing")

    duty = Duty("kafka", "kafka", prepare, lambda pid: ABSENT, tmp_path / "log")
    async with _running(duty) as unit:
        await eventually(
            lambda: unit.failure == "the jars are missing" and unit.state is State.BACKING_OFF
        )
        assert unit.starts == 0


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with _running(_duty(tmp_path, _DEAF)) as unit:
        await eventually(
            lambda: (
                "deaf" in (tmp_path / "dummy.log").read_text()
                if (tmp_path / "dummy.log").exists()
                else False
            )
        )
        pid = unit.pid
        assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_process_dies_with_its_parent_even_by_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from connectors.local.engines.process import Process\n"
        f"child = Process({_SLEEPS!r}, Path({str(tmp_path / 'log')!r}))\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        eventually_sync(lambda: "600" in " ".join(psutil.Process(child).cmdline()[-1:]))
        parent.kill()
    eventually_sync(
        lambda: (
            not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        )
    )


def test_a_process_is_silent_only_after_its_first_sign_of_readiness() -> None:
    starting = Watchdog()
    assert not any(starting.is_silent(ABSENT, float(second)) for second in range(1, 1000))
    frozen = Watchdog()
    assert not frozen.is_silent(Health(True, lag=0, position=5), 1)
    assert [frozen.is_silent(ABSENT, now) for now in (2.0, 60.9, 61.0)] == [False, False, True]


def test_a_process_that_answers_is_not_silent_ready_or_not() -> None:
    watchdog = Watchdog()
    for second in range(1, 1000):
        assert not watchdog.is_silent(Health(second % 2 == 0, lag=9, position=1), float(second))


def test_a_pace_is_records_a_second_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.per_second() is None
    for second in range(11):
        pace.observe(second * 100 if second <= 5 else 500, float(second))
    assert pace.per_second() == 0.0
    pace.observe(1100, 11.0)
    assert pace.per_second() == 120.0


def test_a_readiness_file_counts_only_while_fresh_and_for_its_own_pid(tmp_path: Path) -> None:
    file = tmp_path / "emit-1.json"
    assert reported(file, 7) == ABSENT
    file.write_text(json.dumps({"pid": 7, "ready": True, "lag": 3, "position": 10}))
    assert reported(file, 7) == Health(True, 3, 10)
    assert reported(file, 8) == ABSENT
    os.utime(file, (time.time() - 6, time.time() - 6))
    assert reported(file, 7) == ABSENT
    file.write_text('{"pid": 7')
    assert reported(file, 7) == ABSENT


def test_workers_are_counted_and_wrong_counts_refused_with_a_sentence() -> None:
    assert counts_of([], has_simulator=True)["simulate"] == 1
    assert "simulate" not in counts_of([], has_simulator=False)
    assert "deliver" not in counts_of([], has_simulator=True)
    assert counts_of([], has_simulator=True, has_routes=True)["deliver"] == 1
    assert counts_of(["emit=2", "stats=3"], has_simulator=False)["emit"] == 2
    for wrong in ("emit", "emit=0", "emit=17", "emit=-1", "kafka=2", "api=2"):
        with pytest.raises(ValueError, match=wrong):
            counts_of([wrong], has_simulator=True)


def test_no_stack_has_more_processes_than_ports() -> None:
    assert sum(counts_of(["emit=16", "stats=9"], has_simulator=False).values()) == 29
    with pytest.raises(ValueError, match="38 processes, and a stack has ports for 30"):
        counts_of(["emit=16", "stats=16", "expand=2"], has_simulator=True)


async def test_a_long_log_is_set_aside_while_its_process_goes_on_writing(tmp_path: Path) -> None:
    chatty = "import time\nfor n in range(10**9): print(n, flush=True); time.sleep(0.001)"
    duty = _duty(tmp_path, [sys.executable, "-c", chatty])
    async with _running(duty):
        await eventually(lambda: duty.log.exists() and duty.log.stat().st_size > 200)
        cut(duty.log, 1 << 20)
        assert not duty.log.with_suffix(".old.log").exists()
        cut(duty.log, 100)
        await eventually(lambda: duty.log.stat().st_size > 0)
        kept, fresh = (
            duty.log.with_suffix(".old.log").read_text().split(),
            duty.log.read_text().split(),
        )
    assert kept[0] == "0"
    assert int(kept[-2]) < int(fresh[0])  # no hole: the process appends


def test_the_status_is_for_its_owner_and_shows_no_password(tmp_path: Path) -> None:
    home = Home(
        tmp_path, 21_000, {"CAMPAIGNS_POSTGRES": "postgresql://ada:s3cr3t@db:5432/campaigns"}
    )
    status.write(home, Supervisor(home, {}).observed())
    assert home.status_file.stat().st_mode & 0o777 == 0o600
    assert (
        json.loads(home.status_file.read_text())["addresses"]["postgres"]
        == "postgresql://ada:***@db:5432/campaigns"
    )
    assert "s3cr3t" not in status.read(home).as_json()
    assert home.environment()["CAMPAIGNS_POSTGRES"].count("s3cr3t") == 1


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://postgres@127.0.0.1:5/x", "postgresql://postgres@127.0.0.1:5/x"),
        ("postgresql://u:a@b/c:d@db/x", "postgresql://u:***@db/x"),
        (
            "postgresql://u@db/x?sslmode=require&password=abc&sslpassword=def",
            "postgresql://u@db/x?sslmode=require&password=***&sslpassword=***",
        ),
        ("host=db password='a b' user=u", "host=db password=*** user=u"),
        ("nats://u:p@a:1,nats://u:q@b:2", "nats://u:***@a:1,nats://u:***@b:2"),
        ("nats://token@a:1", "nats://***@a:1"),
        ("broker:9092,other:9092", "broker:9092,other:9092"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_secrets_are_made_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", 21_000, {})
    first = home.environment()["CAMPAIGNS_MESSAGE_KEYS"]
    assert home.environment()["CAMPAIGNS_MESSAGE_KEYS"] == first
    assert (tmp_path / "home" / "secrets.env").stat().st_mode & 0o777 == 0o600
    assert home.settings().message_keys[0].get_secret_value() == first


def test_every_home_has_passwords_of_its_own_and_shows_none(tmp_path: Path) -> None:
    one, other = (Home(tmp_path / name, 21_000, {}) for name in ("one", "other"))
    assert one.environment() != other.environment()
    ours, theirs = one.settings(), other.settings()
    assert ours.kafka_password != theirs.kafka_password
    assert ours.nats_password != theirs.nats_password
    assert ours.postgres != theirs.postgres
    shown = one.shown_addresses()
    assert shown["postgres"] == "postgresql://campaigns:***@127.0.0.1:21004/campaigns"
    for line in one.secrets_file.read_text().splitlines():
        assert line.partition("=")[2] not in repr(one.engines()) + str(shown)


def test_a_given_address_means_no_local_engine(tmp_path: Path) -> None:
    home = Home.from_environment(
        {"CAMPAIGNS_HOME": str(tmp_path), "CAMPAIGNS_KAFKA": "broker:9092", "PATH": ""}
    )
    home.make_secrets()
    assert [engine.role for engine in home.engines()] == ["postgres", "nats"]
    assert "CAMPAIGNS_KAFKA_PASSWORD" not in home.environment()
    assert home.addresses()["kafka"] == "broker:9092"
    assert home.environment()["CAMPAIGNS_KAFKA"] == "broker:9092"


def test_security_is_refused_without_the_kafka_that_it_is_for(tmp_path: Path) -> None:
    secured = {"CAMPAIGNS_HOME": str(tmp_path), "CAMPAIGNS_KAFKA_SECURITY": "SSL"}
    with pytest.raises(HomeError, match="CAMPAIGNS_KAFKA_SECURITY is set without CAMPAIGNS_KAFKA"):
        Home.from_environment(secured).settings()
    elsewhere = Home.from_environment(secured | {"CAMPAIGNS_KAFKA": "broker:9093"})
    assert elsewhere.settings().kafka_security == "SSL"


@pytest.mark.parametrize(
    "name", ["KAFKA_USER", "KAFKA_CA_FILE", "NATS_TOKEN", "NATS_NKEY_FILE", "NATS_PASSWORD"]
)
def test_credentials_are_refused_without_the_server_that_they_are_for(
    tmp_path: Path, name: str
) -> None:
    given = {"CAMPAIGNS_HOME": str(tmp_path), f"CAMPAIGNS_{name}": "x"}
    server = f"CAMPAIGNS_{name.partition('_')[0]}"
    with pytest.raises(HomeError, match=f"CAMPAIGNS_{name} is set without {server}: the local"):
        Home.from_environment(given).settings()


def test_a_plain_kafka_that_is_asked_for_is_the_local_one_all_the_same(tmp_path: Path) -> None:
    given = {"CAMPAIGNS_HOME": str(tmp_path), "CAMPAIGNS_KAFKA_SECURITY": "PLAINTEXT"}
    assert Home.from_environment(given).settings().kafka_security == "SASL_PLAINTEXT"


@pytest.mark.parametrize("base", ["abc", "80", "65530"])
def test_an_unusable_port_base_is_named(base: str) -> None:
    with pytest.raises(HomeError, match=base):
        Home.from_environment({"CAMPAIGNS_PORT_BASE": base})


def test_one_home_has_one_supervisor(tmp_path: Path) -> None:
    home = Home(tmp_path, 21_000, {})
    assert not status.is_supervised(home)
    lock = status.claim(home)
    assert lock is not None
    with lock:
        assert status.claim(home) is None
        assert status.is_supervised(home)
    assert not status.is_supervised(home)
    assert all(process.state is State.STOPPED for process in status.read(home).processes)
