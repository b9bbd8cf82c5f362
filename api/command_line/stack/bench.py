"""`campaigns bench NAME`: a ratio against a denominator measured in the same session
(docs/operate/performance.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from api.command_line.options import AsJson
from api.command_line.terminal import complain, out, progress

_ROOT = Path(__file__).parents[3]
_NAMES = "emit, fold, snapshot, pipeline, bridge, throttle or failover"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command("bench")(run)


def run(
    name: Annotated[str, typer.Argument(help=f"What to measure: {_NAMES}.")],
    rounds: Annotated[
        int, typer.Option(min=1, help="Both sides are measured in turn this often.")
    ] = 5,
    size: Annotated[
        int, typer.Option(min=0, help="Recipients or events of a round; 0 = the benchmark's own.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a part of the engine against what it is compared with, on engines of its own. Takes
    minutes, and both cores.

    Every message and count is checked while measuring. Exit code 1 when it could not be measured; a
    missed goal is only shown.
    """
    if not (_ROOT / "tests" / "benchmarks" / "run.py").exists():
        complain(
            "the benchmarks are part of the source tree:"
            " run this in a clone of the project, after `make setup`"
        )
        raise typer.Exit(1)
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.run",
        name,
        "--rounds",
        str(rounds),
        "--size",
        str(size),
    ]
    result: Mapping[str, Any] | None = None
    for line in _lines(command):
        if "round" in line:
            progress.print(
                "  ".join(f"{key} {_figure(value)}" for key, value in line["round"].items())
            )
        else:
            result = line
    if result is None:
        complain(f"{name} could not be measured; the reason is above. The names are {_NAMES}")
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show([result, *result["others"]])


def _lines(command: Sequence[str]) -> Iterator[dict[str, Any]]:
    # a stack's addresses and settings must not get into a measurement
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CAMPAIGNS_")
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)


def _figure(value: Any) -> str:
    return (
        f"{value:,.0f}"
        if isinstance(value, int | float) and abs(value) >= 100
        else f"{value:.3g}"
        if isinstance(value, float)
        else str(value)
    )


def _show(ratios: Sequence[Mapping[str, Any]]) -> None:
    table = Table("id", "ratio", "spread", "must", "aim", "")
    for each in ratios:
        verdict = (
            "aim reached"
            if each["ratio"] >= each["aim"]
            else "good"
            if each["ratio"] >= each["must"]
            else "missed"
        )
        spread = " - ".join(f"{bound:.2f}" for bound in each["spread"])
        table.add_row(
            each["id"], f"{each['ratio']:.2f}", spread, str(each["must"]), str(each["aim"]), verdict
        )
    out.print(table)
