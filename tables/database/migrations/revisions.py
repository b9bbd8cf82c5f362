"""The revisions of the schema as Alembic sees them: one for each SQL file, in the order of their
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap
from sqlalchemy import Connection

_FILES = Path(__file__).with_name("versions")


def newest() -> str:
    """The revision that this code needs."""
    return RevisionMap(_scripts).get_current_head() or ""


def run(connection: Connection, revision: str) -> None:
    """Run what leads from the database's revision to this one, in the caller's transaction."""
    chain = RevisionMap(_scripts)

    def steps(current: tuple[str, ...], _: MigrationContext) -> list[MigrationStep]:
        missing = reversed(list(chain.iterate_revisions(revision, current, implicit_base=True)))
        return [
            MigrationStep.upgrade_from_script(chain, script)
            for script in missing
            if isinstance(script, Script)
        ]

    # what each of them is called with
    MigrationContext.configure(connection, opts={"fn": steps}).run_migrations(connection=connection)


def _scripts() -> Iterator[Script]:
    """`NNNN_name.sql` is the revision NNNN, after the file before it."""
    before: str | None = None
    for file in sorted(_FILES.glob("*.sql")):
        number = file.name.partition("_")[0]
        module = ModuleType(file.stem)
        vars(module).update(down_revision=before, upgrade=partial(_execute, file))
        yield Script(module, number, file)
        before = number


def _execute(file: Path, connection: Connection) -> None:
    """Run the statements of a file, which are separated by one empty line."""
    for statement in file.read_text().split("\n\n"):
        lines = [line for line in statement.splitlines() if not line.lstrip().startswith("--")]
        if text := "\n".join(lines).strip():
            connection.exec_driver_sql(text.replace("%", "%%"))
