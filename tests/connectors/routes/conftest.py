"""A name server for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.dns_server import DnsServer, dns_server


@pytest.fixture
async def names() -> AsyncIterator[DnsServer]:
    async with dns_server() as names:
        yield names
