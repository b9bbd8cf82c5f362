"""`campaigns route …` against the API as a process, with a relay and a name server on loopback."""

from __future__ import annotations

import json
from pathlib import Path

from streams.settings import Settings
from tests.api.command_line.test_command_line import Shell
from tests.api.http.test_authorization import ROUTE
from tests.api.world import serving
from tests.dns_server import Reply, dns_server, others, txt
from tests.environment import environment
from tests.smtp_server import PASSWORD, USER, relay


async def test_a_route_is_added_listed_checked_paused_and_removed(
    settings: Settings, tmp_path: Path
) -> None:
    async with dns_server() as names, relay() as server:
        here = settings.model_copy(update={"dns_servers": names.address, "routes": "any"})
        async with serving(here, tmp_path / "api.log") as url:
            shell = Shell(tmp_path, environment(here, CAMPAIGNS_API_URL=url))
            key = (await shell.json("tenant", "create", "acme", "--json"))["apiKey"]
            file, secret = tmp_path / "relay.json", tmp_path / "password"
            file.write_text(json.dumps(ROUTE | {"port": server.port, "username": USER}))
            secret.write_text(f"{PASSWORD}\n")

            words = ("route", "add", "relay-eu", str(file), "--password-file", str(secret))
            added = await shell.json(*words, "--json", key=key)
            assert added["isSet"] == ["username", "password"]
            code, said, _ = await shell.run("route", "list", key=key)
            assert code == 0 and "relay-eu" in said and PASSWORD not in said

            code, said, complained = await shell.run("route", "check", "relay-eu", key=key)
            assert code == 1 and "relay-eu is not ready" in complained
            assert "_dmarc.acme.example  TXT  v=DMARC1; p=none" in said
            assert server.logins == [(USER, PASSWORD)] and server.mails == 0
            names.replies |= {
                "acme.example": Reply(txt("v=spf1 -all").texts, others("MX 1 m.example.").others),
                "_dmarc.acme.example": txt("v=DMARC1; p=none"),
            }
            checked = await shell.json("route", "check", "relay-eu", "--json", key=key)
            assert checked["status"] in ("unknown", "warning")

            for verb, told in (("pause", "paused"), ("resume", "not paused")):
                code, said, _ = await shell.run("route", verb, "relay-eu", key=key)
                assert (code, said) == (0, f"relay-eu is {told}\n")
            file.write_text(json.dumps(ROUTE | {"port": 1}))
            code, _, complained = await shell.run("route", "add", "relay-eu", str(file), key=key)
            assert code == 1 and "password: must be given again" in complained
            code, said, _ = await shell.run("route", "remove", "relay-eu", key=key)
            assert (code, said) == (0, "relay-eu is removed\n")
            assert await shell.json("route", "list", "--json", key=key) == []


async def test_a_file_that_cannot_be_used_is_named_and_not_quoted(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"CAMPAIGNS_API_KEY": "x", "CAMPAIGNS_API_URL": "http://127.0.0.1:1"})
    broken, list_, twice = (tmp_path / name for name in ("broken", "list", "twice"))
    broken.write_text('{"password": "s3cret"')
    list_.write_text("[]")
    twice.write_text(json.dumps(ROUTE | {"password": "s3cret"}))
    plain, mailbox = tmp_path / "plain", tmp_path / "mailbox"
    plain.write_text(json.dumps(ROUTE))
    with_password = {"domain": "b.acme.example", "imap": {"password": "s3cret"}}
    mailbox.write_text(json.dumps(ROUTE | {"bounces": with_password}))
    for words, why in (
        (("nowhere.json",), "cannot be read"),
        ((str(broken),), "is no JSON"),
        ((str(list_),), "is no JSON object"),
        ((str(twice), "--password-file", str(twice)), "has a password, too"),
        ((str(list_), "--password-file", "nowhere"), "is no JSON object"),
        ((str(plain), "--imap-password-file", "nowhere"), "has no bounces.imap"),
        ((str(mailbox), "--imap-password-file", str(twice)), "has a password, too"),
    ):
        code, _, complained = await shell.run("route", "add", "relay", *words)
        assert code == 1 and why in complained and "s3cret" not in complained
        assert "Traceback" not in complained
