"""`campaigns sender-domain …` against the API as a process that asks a name server on loopback."""

from __future__ import annotations

from pathlib import Path

from streams.settings import Settings
from tests.api.command_line.test_command_line import Shell
from tests.api.world import serving
from tests.dns_server import dns_server, txt
from tests.environment import environment


async def test_a_domain_is_added_listed_verified_and_removed(
    settings: Settings, tmp_path: Path
) -> None:
    async with dns_server() as names:
        here = settings.model_copy(update={"dns_servers": names.address})
        async with serving(here, tmp_path / "api.log") as url:
            shell = Shell(tmp_path, environment(here, CAMPAIGNS_API_URL=url))
            key = (await shell.json("tenant", "create", "acme", "--json"))["apiKey"]

            added = await shell.json("sender-domain", "add", "Acme.Example", "--json", key=key)
            record = added["record"]
            code, said, complained = await shell.run(
                "sender-domain", "verify", "acme.example", key=key
            )
            assert code == 1 and record["value"] in said and record["name"] in said
            assert "acme.example is not verified: DNS has no record" in complained
            code, said, _ = await shell.run("sender-domain", "list", key=key)
            assert code == 0 and "acme.example" in said and "no-such-name" in said

            names.replies[record["name"]] = txt(record["value"])
            verified = await shell.json(
                "sender-domain", "verify", "acme.example", "--json", key=key
            )
            assert verified["finding"] == "verified"
            listed = await shell.json("sender-domain", "list", "--json", key=key)
            assert listed == [verified]

            code, said, complained = await shell.run("sender-domain", "add", "com", key=key)
            assert code == 1 and "domain: " in complained and "Traceback" not in complained
            code, said, _ = await shell.run("sender-domain", "remove", "acme.example", key=key)
            assert (code, said) == (0, "acme.example is removed\n")
            code, _, complained = await shell.run(
                "sender-domain", "remove", "../campaigns", key=key
            )
            assert code == 1 and "Traceback" not in complained
            assert await shell.json("sender-domain", "list", "--json", key=key) == []
