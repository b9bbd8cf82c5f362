"""Settings as the environment of a process that a test starts."""

from __future__ import annotations

import os

from streams.settings import Settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """This process's environment with what the fixture `settings` decided."""
    return {**os.environ, **settings.environment(), **more}
