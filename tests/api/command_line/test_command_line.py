"""The quick start of the README, command by command, against the API as a process; and what the
commands say when they cannot.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

from streams.settings import Settings
from tests.api.world import serving
from tests.environment import environment

CAMPAIGNS = Path(sys.executable).with_name("campaigns")


def only_postgres(dsn: str) -> dict[str, str]:
    nowhere = {"CAMPAIGNS_KAFKA": "x:1", "CAMPAIGNS_NATS": "nats://x:1"}
    return {**nowhere, "CAMPAIGNS_POSTGRES": dsn, "CAMPAIGNS_MESSAGE_KEYS": "00" * 32}


class Shell:
    """Runs `campaigns` as somebody would, in a folder of its own."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.variables = folder, variables

    async def run(self, *words: str, key: str = "") -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        variables = {
            **self.variables,
            "CAMPAIGNS_HOME": str(self.folder / "home"),
            **({"CAMPAIGNS_API_KEY": key} if key else {}),
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            CAMPAIGNS, *words, cwd=self.folder, env=variables, stdout=pipe, stderr=pipe
        )
        said, complained = await process.communicate()
        return process.returncode or 0, said.decode(), complained.decode()

    async def json(self, *words: str, key: str = "") -> Any:
        code, said, complained = await self.run(*words, key=key)
        assert code == 0, complained
        return json.loads(said)

    def write(self, name: str, content: object) -> None:
        (self.folder / name).write_text(
            content if isinstance(content, str) else json.dumps(content)
        )


async def test_the_quick_start_of_the_readme_sends_a_campaign(
    settings: Settings, tmp_path: Path
) -> None:
    async with serving(settings, tmp_path / "api.log") as url:
        shell = Shell(tmp_path, environment(settings, CAMPAIGNS_API_URL=url))
        tenant = await shell.json("tenant", "create", "acme", "--json")
        key = tenant["apiKey"]
        shell.write(
            "people.csv",
            "email,firstName,plan\nana@example.com,Ana,pro\nben@example.com,Ben,free\n",
        )
        imported = await shell.json(
            "import",
            "contacts",
            "people.csv",
            "--tenant",
            "acme",
            "--segment",
            "newsletter",
            "--json",
        )
        assert imported["imported"] == 2
        shell.write(
            "welcome.json",
            {
                "name": "welcome",
                "channel": "email",
                "content": {"subject": "Hi", "html": "<p>{{ firstName }}</p>"},
            },
        )
        template = await shell.json("template", "create", "welcome.json", "--json", key=key)
        assert await shell.json("segment", "list", "--json", key=key) == [
            {"id": imported["segmentId"], "name": "newsletter"}
        ]
        body = {
            "name": "Welcome",
            "channel": "email",
            "templateId": template["id"],
            "segmentIds": [imported["segmentId"]],
        }
        shell.write("campaign.json", body | {"settings": {"fromEmail": "news@acme.example"}})
        campaign = await shell.json("create", "campaign.json", "--start", "--json", key=key)
        assert campaign["status"] == "running"
        assert (await shell.json("stats", campaign["id"], key=key))["sentCount"] == 0
        assert (await shell.json("cancel", campaign["id"], "--json", key=key))[
            "status"
        ] == "cancelled"
        code, said, _ = await shell.run("watch", "--until-done", key=key)
        assert (code, json.loads(said)["campaigns"][0]["status"]) == (0, "cancelled")
        code, _, complained = await shell.run("pause", campaign["id"], key=key)
        assert code == 1 and "cancelled" in complained and "Traceback" not in complained
        code, link, _ = await shell.run("sign-in", key=key)
        assert code == 0 and link.startswith(f"{url}/#code=") and key not in link
        body = {"code": link.strip().partition("=")[2]}
        async with httpx.AsyncClient(headers={"X-Requested-With": "dashboard"}) as browser:
            assert (await browser.post(f"{url}/session", json=body)).status_code == 200
            signed_in = (await browser.get(f"{url}/session")).json()["data"]
            assert signed_in == {"tenantId": "acme", "role": "admin"}


async def test_a_template_that_cannot_be_sent_is_refused_with_a_sentence(
    tmp_path: Path, database: str
) -> None:
    variables = {
        "CAMPAIGNS_KAFKA": "x:1",
        "CAMPAIGNS_NATS": "nats://x:1",
        "CAMPAIGNS_POSTGRES": database,
        "CAMPAIGNS_MESSAGE_KEYS": "00" * 32,
    }
    shell = Shell(tmp_path, variables)
    key = (await shell.json("tenant", "create", "acme", "--json"))["apiKey"]
    wrong: list[tuple[object, str]] = [
        ("{", "welcome.json: "),
        ({"name": "x", "channel": "fax", "content": {}}, "channel: "),
        (
            {"name": "x", "channel": "sms", "content": {"subject": "x"}},
            "content.subject: sms has no such field",
        ),
        (
            {"name": "x", "channel": "sms", "content": {"text": "{{ firstName [/b]"}},
            "content.text: line 1: ",
        ),
    ]
    for content, words in wrong:
        shell.write("welcome.json", content)
        code, said, complained = await shell.run("template", "create", "welcome.json", key=key)
        assert (code, said) == (1, "") and words in complained and "Traceback" not in complained, (
            complained
        )


async def test_a_wrong_key_and_an_api_that_is_away_are_told_in_a_sentence(
    tmp_path: Path, database: str
) -> None:
    variables = {
        "CAMPAIGNS_KAFKA": "x:1",
        "CAMPAIGNS_NATS": "nats://x:1",
        "CAMPAIGNS_POSTGRES": database,
        "CAMPAIGNS_MESSAGE_KEYS": "00" * 32,
    }
    shell = Shell(tmp_path, {**variables, "CAMPAIGNS_API_URL": "http://127.0.0.1:1"})
    for words, key, said in (
        (("segment", "list"), "ce_live_x", "unknown, expired or revoked"),
        (("segment", "list"), "", "Which tenant?"),
        (("stats", "00000000-0000-0000-0000-000000000007"), "ce_live_x", "does not answer"),
    ):
        code, _, complained = await shell.run(*words, key=key)
        assert code == 1 and said in complained and "Traceback" not in complained
    assert (await shell.run("stats", "seven", key="x"))[0] == 2
