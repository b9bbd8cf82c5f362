"""Schemathesis reads the OpenAPI document and calls every operation, right and wrong, alone and in
sequence; it must find nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from streams.settings import Settings
from tables.database.connection import Database
from tables.directory.examples import install_examples
from tables.tenants.api_keys import create_key
from tests.api.world import serving
from tests.dns_server import dns_server
from tests.tables.campaigns.campaign_world import make_world

_CASES = 6  # per operation, besides the boundaries of every parameter
_LONGEST = 800.0  # seconds; 40 on a quiet machine
_CONFIG = Path(__file__).with_name("schemathesis.toml")


async def test_schemathesis_finds_nothing(settings: Settings, tmp_path: Path) -> None:
    async with dns_server() as names:
        here = {"api_rate_limit": 0, "dns_servers": names.address, "routes": "any"}
        generous = settings.model_copy(update=here)
        await _nothing_is_found(generous, tmp_path)


async def _nothing_is_found(generous: Settings, tmp_path: Path) -> None:
    pool: Database = Database(generous, max_size=2)
    await make_world(pool, generous)
    async with pool.transaction() as connection:
        await install_examples(connection, "acme")
        key = (await create_key(connection, "acme")).text
    await pool.close()
    log = tmp_path / "api.log"
    async with serving(generous, log, "tests.api.documents.patient_server") as url:
        code, said = await _schemathesis(url, key, tmp_path)
    assert code == 0, said[-20_000:]
    assert "a request failed" not in log.read_text()


async def _schemathesis(url: str, key: str, folder: Path) -> tuple[int, str]:
    words = (
        *(
            Path(sys.executable).with_name("schemathesis"),
            "--no-color",
            "--config-file",
            _CONFIG,
            "run",
            f"{url}/openapi.json",
        ),
        *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(_CASES)),
        *(
            "--header",
            f"Authorization: Bearer {key}",
            "--generation-deterministic",
            "--request-timeout",
            "60",
            "--continue-on-failure",
        ),
        # event streams have no end, and a check goes to whatever server a route names
        *("--exclude-path-regex", "/(events|check)$", "--warnings", "off"),
    )
    hooks = {**os.environ, "SCHEMATHESIS_HOOKS": str(_CONFIG.with_name("schemathesis_hooks.py"))}
    pipe, joined = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, env=hooks, stdout=pipe, stderr=joined
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _LONGEST)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode()
