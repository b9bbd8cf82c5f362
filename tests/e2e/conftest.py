"""An installation with every process, on the session's real engines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest

from connectors.local.engines.engine import free_port
from connectors.setup.prepare import prepare
from streams.settings import Settings
from tests.conftest import run
from tests.e2e.processes import SHORTENED, Installation
from tests.eventually import eventually_sync


@dataclass(frozen=True)
class Running:
    """An installation: its settings, its processes, the API's address and the simulator's log."""

    settings: Settings
    processes: Installation
    url: str
    truth: Path


@contextmanager
def installed(
    settings: Settings,
    folder: Path,
    more: Mapping[str, object] = MappingProxyType({}),
    of_each: Callable[[str], Mapping[str, str]] = lambda name: {},
) -> Iterator[Running]:
    """One process of every role, on servers that `campaigns prepare` has joined; an hour is six
    seconds unless `more` settings say otherwise. Ready when the API is and every worker has its
    partitions.
    """
    port = free_port()
    shortened = {
        "api_port": port,
        **SHORTENED,
        "tick": timedelta(milliseconds=50),
        **more,
    }
    settings = settings.model_copy(
        update=shortened | {"complaint_rate_limit": 100}
    )  # people here complain more than a campaign survives
    run(prepare(settings))
    simulate = {
        "CAMPAIGNS_SIMULATE_COMPLAINTS": "0.004",
        "CAMPAIGNS_SIMULATE_TRUTH": str(folder / "truth"),
        "CAMPAIGNS_SIMULATE_OPENING": "4",
        "CAMPAIGNS_SIMULATE_CLICKING": "2",
        "CAMPAIGNS_SIMULATE_DUPLICATES": "3",
        "CAMPAIGNS_SIMULATE_DISORDER": "2",
    }
    extra = {
        "api": [sys.executable, "-m", "api.server"],
        "simulate": [sys.executable, "-m", "connectors.simulator"],
    }
    with Installation(
        settings, folder, extra=extra, environment=simulate, of_each=of_each
    ) as processes:
        url = f"http://127.0.0.1:{port}"
        eventually_sync(lambda: _is_ready(url), within=300)
        eventually_sync(processes.all_ready, within=300)
        yield Running(settings, processes, url, folder / "truth")


@pytest.fixture
def running(settings: Settings, tmp_path: Path) -> Iterator[Running]:
    with installed(settings, tmp_path) as made:
        yield made


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False
