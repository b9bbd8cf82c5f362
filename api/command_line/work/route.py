"""`campaigns route …`: the relays and providers that the tenant of the API key has set up, through
the REST API.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from api.command_line.client import Api
from api.command_line.options import AsJson, Key
from api.command_line.terminal import complain, out
from streams.errors import MalformedError
from streams.settings.secret_files import text_in

Name = Annotated[str, typer.Argument(help="what you call it, such as relay-eu")]
_PASSWORD_FILE = "--password-file"
_MAILBOX_FILE = "--imap-password-file"
_SHOWN = 100  # a tenant has no more


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(
        help="The relays and providers that a tenant sends by.",
        no_args_is_help=True,
    )
    group.command("add")(add)
    group.command("list")(list_)
    group.command("check")(check)
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("remove")(remove)
    app.add_typer(group, name="route")


def add(
    name: Name,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.json", help="the body of PUT /tenant/routes/NAME; - for standard input"
        ),
    ],
    # a password among the arguments would be in the list of processes
    password_file: Annotated[
        str | None,
        typer.Option(
            _PASSWORD_FILE,
            metavar="FILE",
            help="holds the password, key or token, if FILE.json does not; without either the"
            " stored one stays",
        ),
    ] = None,
    imap_password_file: Annotated[
        str | None,
        typer.Option(
            _MAILBOX_FILE,
            metavar="FILE",
            help="likewise of the mailbox that its bounces come to (bounces.imap)",
        ),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Set a route up, or replace its settings."""
    body = _body(file, password_file, imap_password_file)
    _print(Api(key).call("PUT", _path(name), body), as_json)


def list_(key: Key = None, as_json: AsJson = False) -> None:
    """Show the tenant's routes."""
    found = Api(key).call("GET", f"/tenant/routes?pageSize={_SHOWN}")
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("route", "channel", "provider", "senders", "credentials", "paused")
    for one in found:
        table.add_row(
            one["name"],
            one["channel"],
            _place(one),
            ", ".join(_senders(one)),
            "set" if one["isSet"] else "–",
            one["pausedAt"] or "–",
        )
    out.print(table)


def check(
    name: Name,
    selectors: Annotated[
        list[str] | None,
        typer.Option("--dkim-selector", metavar="SELECTOR", help="under which the relay signs"),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Log in to a relay, or connect to a provider, and read DNS. Exit code 1 when messages by this
    route would be refused.
    """
    checked = Api(key).call("POST", f"{_path(name)}/check", {"dkimSelectors": selectors or []})
    if as_json:
        typer.echo(json.dumps(checked))
    else:
        for finding in checked["findings"]:
            _print_finding(finding)
    if checked["status"] == "error":
        complain(f"{name} is not ready: see the errors above")
        raise typer.Exit(1)


def pause(name: Name, key: Key = None) -> None:
    """Hand nothing to a route until it is resumed."""
    Api(key).call("POST", f"{_path(name)}/pause")
    out.print(f"{name} is paused", markup=False)


def resume(name: Name, key: Key = None) -> None:
    """The opposite of pause."""
    Api(key).call("POST", f"{_path(name)}/resume")
    out.print(f"{name} is not paused", markup=False)


def remove(name: Name, key: Key = None) -> None:
    """Remove a route with its credentials."""
    Api(key).call("DELETE", _path(name))
    out.print(f"{name} is removed", markup=False)


def _path(name: str) -> str:
    return f"/tenant/routes/{quote(name, safe='')}"


def _body(file: str, password_file: str | None, imap_file: str | None) -> dict[str, Any]:
    """Raises MalformedError, which quotes nothing of the files."""
    try:
        body = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except OSError as error:
        raise MalformedError(f"{file} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise MalformedError(f"{file} is no JSON") from error
    if not isinstance(body, dict):
        raise MalformedError(f"{file} is no JSON object")
    if imap_file is not None:
        bounces = body.get("bounces")
        imap = bounces.get("imap") if isinstance(bounces, dict) else None
        if not isinstance(bounces, dict) or not isinstance(imap, dict):
            raise MalformedError(f"{file} has no bounces.imap, which {_MAILBOX_FILE} is for")
        with_password = _with_password(imap, file, imap_file, _MAILBOX_FILE)
        body = body | {"bounces": bounces | {"imap": with_password}}
    if password_file is None:
        return body
    return _with_password(body, file, password_file, _PASSWORD_FILE)


def _with_password(
    settings: dict[str, Any], file: str, password_file: str, option: str
) -> dict[str, Any]:
    if "password" in settings:
        raise MalformedError(f"{file} has a password, too: leave out either it or {option}")
    try:
        return settings | {"password": text_in(password_file, option)}
    except ValueError as error:
        raise MalformedError(str(error)) from error


def _print(route: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(route))
        return
    lines = (
        ("route", route["name"]),
        ("channel", route["channel"]),
        ("provider", _place(route)),
        ("senders", ", ".join(_senders(route)) or "all"),
        ("bounces", _bounces(route.get("bounces"))),
        ("is set", ", ".join(route["isSet"]) or "no credentials"),
    )
    for name, value in lines:
        out.print(f"{name:10}{value}", markup=False, soft_wrap=True)


def _bounces(bounces: Mapping[str, Any] | None) -> str:
    if bounces is None:
        return "to the sender"
    imap = bounces["imap"]
    read_from = f", read from {imap['host']}:{imap['port']}" if imap else ""
    return f"{bounces['domain']}{read_from}"


def _place(route: Mapping[str, Any]) -> str:
    """The provider, and where it is when the tenant has said so."""
    if "host" in route:
        return f"{route['provider']} {route['host']}:{route['port']}, tls {route['tls']}"
    return f"{route['provider']} {route.get('url', '')}".rstrip()


def _senders(route: Mapping[str, Any]) -> list[str]:
    return [*route.get("fromDomains", ()), *route.get("senders", ())]


def _print_finding(finding: Mapping[str, Any]) -> None:
    said = f"{finding['status']:9}{finding['part']:12}{finding['explanation']}"
    out.print(said, markup=False, soft_wrap=True)
    if (record := finding["record"]) is not None:
        value = record["value"] or "…"
        line = f"{'':21}{record['name']}  {record['type']}  {value}"
        out.print(line, markup=False, soft_wrap=True)
