"""The projection alone in a process, to be killed by a test."""

from __future__ import annotations

import asyncio

from agents.counting.project import Project
from streams.settings import from_environment


async def main() -> None:
    async with Project(None, from_environment()):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
