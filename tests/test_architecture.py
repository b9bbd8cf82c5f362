"""The shape of the code: who may import whom, how long a file may be, which names do not occur."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "streams": set[str](),
    "tables": {"streams"},
    "connectors": {"streams", "tables"},
    "agents": {"streams", "tables", "connectors"},
    "api": {"streams", "tables", "connectors"},
}
_MOST_FILES = 12  # of a folder, besides __init__
_LONGEST, _LONGEST_TEST = 380, 460  # lines of at most 100 columns
# A longer file needs its reason here.
_LONG_FILES = {
    "tests/streams/exactly_once/test_exactly_once.py": (
        "one test per guard of the module; apart they would repeat its fakes"
    ),
}
_VAGUE = {
    "utils",
    "util",
    "common",
    "helpers",
    "helper",
    "core",
    "base",
    "manager",
    "managers",
    "misc",
}


# What speaks SQL outside of `tables`: whom PostgreSQL lets in is said before a schema exists.
_SPEAK_SQL = {"connectors/local/engines/postgres_account.py"}
# What imports the driver outside of `tables.database`: the names of partitions are composed, and
# passwords become verifiers by libpq.
_DRIVE = {"tables/audience/blocks.py", "tables/installation/administration.py"}
_SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|WITH \w+ AS|COPY \w+|LISTEN|NOTIFY"
    r"|(CREATE|ALTER|DROP) (TABLE|DATABASE|ROLE|INDEX|FUNCTION|POLICY))\b"
)


def _modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (_ROOT / folder).rglob("*.py"))


def _imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    forbidden = (set(MAY_IMPORT) | {"tests"}) - MAY_IMPORT[package] - {package}
    wrong = {
        str(module.relative_to(_ROOT)): found
        for module in _modules(package)
        if (found := forbidden & set(_imported(module)))
    }
    assert wrong == {}


def test_only_the_tables_speak_sql() -> None:
    tools = {"psycopg", "sqlalchemy", "alembic"}
    spoken = {
        str(module.relative_to(_ROOT))
        for module in _modules(*(set(MAY_IMPORT) - {"tables"}))
        if tools & set(_imported(module)) or any(map(_SQL.match, _texts(module)))
    }
    assert spoken == _SPEAK_SQL


def _texts(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_one_room_of_the_tables_knows_the_driver() -> None:
    room = _ROOT / "tables" / "database"
    found = {
        str(module.relative_to(_ROOT))
        for module in _modules("tables")
        if "psycopg" in _imported(module) and room not in module.parents
    }
    assert found == _DRIVE


def test_no_imports_run_in_a_circle() -> None:
    names = {_name(path): path for path in _modules(*MAY_IMPORT) if "versions" not in path.parts}
    above = {name: set(_ours(path, names)) - {name} for name, path in names.items()}
    # raises CycleError, which names the circle
    assert len(list(TopologicalSorter(above).static_order())) == len(names)


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """Rooms are folders; their `__init__` may put together what is in the rooms below."""
    names = {_name(path): path for path in _modules(*MAY_IMPORT) if "versions" not in path.parts}
    above: dict[Path, set[Path]] = {}
    for path in names.values():
        if path.stem != "__init__":
            rooms = {names[found].parent for found in _ours(path, names)}
            above.setdefault(path.parent, set()).update(rooms - {path.parent})
    assert set(TopologicalSorter(above).static_order()) >= set(above)


def _name(module: Path) -> str:
    return ".".join(module.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")


def _ours(module: Path, names: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ours that this one names in its imports."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from inner & set(names) or ({node.module} & set(names))


def test_no_module_of_the_product_looks_like_a_test() -> None:
    assert [path for path in _modules(*MAY_IMPORT) if path.stem.startswith("test_")] == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_folder_has_at_most_twelve_files(package: str) -> None:
    for folder in {module.parent for module in _modules(package)}:
        files = sorted(path.name for path in folder.glob("*.py") if path.stem != "__init__")
        assert len(files) <= _MOST_FILES, (folder, files)


def test_no_installed_distribution_owns_one_of_our_names() -> None:
    owners = packages_distributions()
    assert {name: set(owners.get(name, [])) - {"campaigns"} for name in MAY_IMPORT} == {
        name: set() for name in MAY_IMPORT
    }


def test_a_long_file_has_its_reason() -> None:
    too_long = {
        str(path.relative_to(_ROOT))
        for folder in (*MAY_IMPORT, "tests")
        for path in _modules(folder)
        if len(path.read_text().splitlines()) > (_LONGEST_TEST if folder == "tests" else _LONGEST)
    }
    assert too_long <= set(_LONG_FILES)


def test_every_module_starts_with_a_sentence() -> None:
    silent = [
        path
        for path in _modules(*MAY_IMPORT, "tests")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_a_sentence_of_a_docstring_has_a_noun_as_its_subject() -> None:
    """Neither a pronoun nor a clause that stands for one: the reader would have to find it."""
    riddle = re.compile(r"(Who|Whoever|What|Whatever|Nobody|Somebody|Everybody)\b")
    riddles = [
        f"{module.relative_to(_ROOT)}: {sentence}"
        for module in _modules(*MAY_IMPORT)
        for text in _docstrings(module)
        for sentence in re.split(r"(?<=[.:;])\s+", text)
        if riddle.match(sentence)
    ]
    assert riddles == []


def _docstrings(module: Path) -> Iterator[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, kinds):
            yield ast.get_docstring(node) or ""


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [
        path
        for path in _modules(*MAY_IMPORT, "tests")
        if path.stem in _VAGUE or path.parent.name in _VAGUE
    ] == []


def test_one_place_tells_clients_where_kafka_is_and_how_to_get_in() -> None:
    spelt = ("bootstrap_servers=", "AIOKafkaConsumer(", "AIOKafkaProducer(", "AIOKafkaAdminClient(")
    found = [
        str(path.relative_to(_ROOT))
        for path in _modules(*MAY_IMPORT)
        if any(each in path.read_text() for each in spelt)
    ]
    assert found == ["streams/kafka/clients.py"]


def test_nothing_is_left_to_do_without_an_issue() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert [
        path
        for path in _modules(*MAY_IMPORT, "tests")
        if any(mark in path.read_text() for mark in marks)
    ] == []
