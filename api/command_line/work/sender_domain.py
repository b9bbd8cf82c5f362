"""`campaigns sender-domain …`: the domains that the tenant of the API key sends from, through the
REST API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from api.command_line.client import Api
from api.command_line.options import AsJson, Key
from api.command_line.terminal import complain, out

Domain = Annotated[str, typer.Argument(help="such as example.com; it covers its subdomains")]
_SHOWN = 100  # a tenant has no more


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(help="The domains that a tenant sends from.", no_args_is_help=True)
    for name, command in (("add", add), ("list", list_), ("verify", verify), ("remove", remove)):
        group.command(name)(command)
    app.add_typer(group, name="sender-domain")


def add(domain: Domain, key: Key = None, as_json: AsJson = False) -> None:
    """Add a domain and print the TXT record to set where its DNS is managed."""
    _print(Api(key).call("POST", "/sender-domains", {"domain": domain}), as_json)


def list_(key: Key = None, as_json: AsJson = False) -> None:
    """Show the tenant's domains, and what DNS last said of each."""
    found = Api(key).call("GET", f"/sender-domains?pageSize={_SHOWN}")
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("domain", "verified", "checked", "found")
    for one in found:
        table.add_row(
            *(one[name] or "–" for name in ("domain", "verifiedAt", "checkedAt")), _of(one)
        )
    out.print(table)


def verify(domain: Domain, key: Key = None, as_json: AsJson = False) -> None:
    """Ask DNS for the record now. Exit code 1 and the reason when it is not there."""
    checked = Api(key).call("POST", f"{_path(domain)}/verify")
    _print(checked, as_json)
    if checked["verifiedAt"] is None:
        complain(f"{checked['domain']} is not verified: {checked['explanation']}")
        raise typer.Exit(1)


def remove(domain: Domain, key: Key = None) -> None:
    """Remove a domain. Added again it has another record."""
    Api(key).call("DELETE", _path(domain))
    out.print(f"{domain} is removed", markup=False)


def _path(domain: str) -> str:
    return f"/sender-domains/{quote(domain, safe='')}"


def _of(domain: Mapping[str, Any]) -> str:
    return domain["finding"] or "not checked yet"


def _print(domain: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(domain))
        return
    record = domain["record"]
    lines = (
        ("domain", domain["domain"]),
        ("found", _of(domain)),
        ("name", record["name"]),
        ("type", record["type"]),
        ("value", record["value"]),
    )
    for name, value in lines:
        out.print(f"{name:8}{value}", markup=False, soft_wrap=True)
