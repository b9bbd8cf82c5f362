"""`campaigns sign-in`: a link to the dashboard that signs one browser in."""

from __future__ import annotations

import typer

from api.command_line.client import Api
from api.command_line.options import Key
from api.command_line.terminal import out, progress


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command("sign-in")(sign_in)


def sign_in(key: Key = None) -> None:
    """Print a link to the dashboard that signs one browser in as the key's user. It works once,
    within 10 minutes, and ends with the key.
    """
    out.print(Api(key).sign_in_link(), soft_wrap=True)
    progress.print("Give it to nobody: whoever opens it first has the key's role.")
