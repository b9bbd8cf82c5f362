"""`campaigns tenant` and `campaigns roles`, as whoever runs the installation uses them."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

from streams.kafka.rights import commands
from tests.api.command_line.test_command_line import Shell, only_postgres
from tests.postgres import connect as connect_client
from tests.tables.installation.as_roles import Roles

WHY = ("--reason", "invoice unpaid")


async def test_a_tenant_is_suspended_resumed_and_deleted_with_its_name_typed_again(
    tmp_path: Path, database: str
) -> None:
    shell = Shell(tmp_path, only_postgres(database))
    await shell.json("tenant", "create", "acme", "--json")
    for words, code, said in (
        (("suspend", "acme"), 2, "--reason"),
        (("suspend", "nobody", *WHY), 1, "There is no tenant nobody"),
        (("suspend", "acme", *WHY), 0, "acme is suspended"),
        (("suspend", "acme", *WHY), 1, "has been suspended since"),
        (("resume", "acme", *WHY), 0, "acme is resumed"),
        (("delete", "acme", *WHY, "--confirm", "acm"), 1, "nothing was changed"),
        (("delete", "acme", *WHY, "--confirm", "acme", "--grace", "soon"), 2, "ISO 8601"),
        (("delete", "acme", *WHY, "--confirm", "acme", "--grace", "PT1M"), 1, "PT1H"),
        (("delete", "acme", *WHY, "--confirm", "acme", "--grace", "PT2H"), 0, "will be removed"),
    ):
        exit_code, out, complained = await shell.run("tenant", *words)
        assert exit_code == code, (words, complained)
        assert said in out + complained and "Traceback" not in complained, (words, complained)
    client = await connect_client(database)
    row = await client.fetchrow(
        "SELECT suspended_at IS NOT NULL, delete_after - now() < interval '2 hours' FROM tenants"
    )
    assert tuple(row or ()) == (True, True)
    await client.close()
    _, said, _ = await shell.run("tenant", "audit", "acme", "--json")
    entries = [json.loads(line) for line in said.splitlines()]
    assert [entry["action"] for entry in entries] == [
        "tenant.deletion-requested",
        "tenant.suspended",
        "tenant.resumed",
        "tenant.suspended",
        "key.created",
        "tenant.created",
    ]
    assert {entry["actor"] for entry in entries} == {"command-line"}
    assert entries[0]["reason"] == "invoice unpaid"
    _, said, _ = await shell.run("tenant", "audit", "acme", "--action", "tenant.resumed", "--json")
    assert [json.loads(line) for line in said.splitlines()] == [entries[2]]
    assert (await shell.run("tenant", "audit", "nobody"))[0] == 1


async def test_the_printed_roles_are_taken_as_they_are(tmp_path: Path, database: str) -> None:
    shell = Shell(tmp_path, only_postgres(database))
    made = Roles(database, f"t{secrets.token_hex(4)}")
    code, script, _ = await shell.run("roles", "postgres", "--prefix", made.prefix)
    assert code == 0
    client = await connect_client(database)
    try:
        for statement in script.split(";\n"):
            if statement.strip():
                await client.execute(statement)
        api = await connect_client(made.of("api"))
        assert await api.fetchval("SELECT count(*) FROM campaigns") == 0
        await api.close()
    finally:
        await client.close()
        await made.drop()


async def test_the_printed_rules_of_kafka_have_the_prefix_and_no_odd_name(
    tmp_path: Path, database: str
) -> None:
    shell = Shell(tmp_path, only_postgres(database))
    printed, refused = await asyncio.gather(
        shell.run("roles", "kafka", "--topic-prefix", "x-", "--users", "u-"),
        shell.run("roles", "kafka", "--users", "u; rm -r"),
    )
    assert printed[1].splitlines() == list(commands("x-", "u-"))
    assert refused[0] == 2
