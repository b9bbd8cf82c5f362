"""Options that several commands have, each with the same name and meaning."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.errors import MalformedError
from streams.settings.secret_files import text_in

_KEY_FILE = "--key-file"


def _key_in(path: str | None) -> str | None:
    try:
        return None if path is None else text_in(path, _KEY_FILE)
    except ValueError as error:
        raise MalformedError(str(error)) from error


# a key among the arguments would be in the list of processes
Key = Annotated[
    str | None,
    typer.Option(
        _KEY_FILE,
        metavar="FILE",
        callback=_key_in,
        help="holds the API key; default CAMPAIGNS_API_KEY or CAMPAIGNS_API_KEY_FILE,"
        " else the demo tenant's",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, also on a terminal.")]
