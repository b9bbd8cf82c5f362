"""The installation of the tests of delivery."""

from __future__ import annotations

import pytest

from streams.settings import Settings
from tests.agents.delivery.given import made


@pytest.fixture
def installation(settings: Settings) -> Settings:
    return made(settings)
