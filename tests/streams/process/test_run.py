"""How a worker's process ends."""

from __future__ import annotations

import asyncio
import sys

import pytest

from streams.exactly_once.fatal import EXIT_CODE

_PROGRAM = """
import asyncio
from mode import Service
from streams.process.app import run
class Failing(Service):
    @Service.task
    async def _run(self): raise {error}("a bug")
class NeverStops(Service):
    async def on_stop(self): await asyncio.Event().wait()
run(None, NeverStops(), Failing())
"""


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError", "asyncio.TimeoutError"])
async def test_a_service_that_fails_ends_the_process_although_another_would_not_stop(
    error: str,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM.format(error=error), stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == EXIT_CODE
    assert b"a bug" in complaint
