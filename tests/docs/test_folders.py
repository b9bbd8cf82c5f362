"""The drawing of docs/folders.md shows all folders and the direction of their imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, blocks
from tests.test_architecture import MAY_IMPORT

_PAGE = DOCS / "folders.md"
_VERSIONS = "versions"  # of the schema: steps, not a room


def _drawn() -> list[Path]:
    """Every folder of the drawing, in its order."""
    found: list[Path] = []
    above: list[str] = []
    for line in blocks(_PAGE, "text")[0].text.splitlines():
        indented = re.match(r"( *)(\w+)/ ", line)
        assert indented, line
        above[len(indented[1]) // 2 :] = [indented[2]]
        found.append(Path(*above))
    return found


def _existing() -> set[Path]:
    """Every folder of the product that git would keep."""
    return {
        folder.relative_to(ROOT)
        for package in MAY_IMPORT
        for file in (ROOT / package).rglob("*.*")
        if "__pycache__" not in file.parts
        for folder in [file.parent]
        if folder.name != _VERSIONS
    }


def _imports() -> Iterator[tuple[Path, Path, str]]:
    """(folder, imported folder, importing file) of every import between our folders."""
    for package in MAY_IMPORT:
        for file in (ROOT / package).rglob("*.py"):
            importing = file.relative_to(ROOT)
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.ImportFrom) or node.module is None:
                    continue
                module = Path(*node.module.split("."))
                if module.parts[0] not in MAY_IMPORT:
                    continue
                for name in node.names:
                    inner = module / name.name
                    folder = inner if (ROOT / inner).is_dir() else module
                    if not (ROOT / folder).is_dir():
                        folder = folder.parent
                    yield importing.parent, folder, str(importing)


def test_the_drawing_shows_every_folder_and_no_other() -> None:
    assert set(_drawn()) == _existing()


def test_the_arrows_between_packages_are_those_of_the_architecture() -> None:
    arrows = re.findall(r"(\w+) --> (\w+)", blocks(_PAGE, "mermaid")[0].text)
    reached = {package: {to for start, to in arrows if start == package} for package in MAY_IMPORT}
    for middle, start in product(MAY_IMPORT, MAY_IMPORT):
        if middle in reached[start]:
            reached[start] |= reached[middle]
    assert reached == MAY_IMPORT


def test_a_folder_imports_only_those_that_are_drawn_below_it() -> None:
    place = {folder: position for position, folder in enumerate(_drawn())}
    upwards = {
        f"{file} imports {below}"
        for folder, imported, file in _imports()
        for here, below in _siblings(folder, imported)
        if place[here] > place[below]
    }
    assert upwards == set()


def _siblings(folder: Path, imported: Path) -> Iterator[tuple[Path, Path]]:
    """The two folders of the same parent in which these lie, if they part below a package."""
    for level in range(2, 1 + min(len(folder.parts), len(imported.parts))):
        here, there = Path(*folder.parts[:level]), Path(*imported.parts[:level])
        if here != there:
            if here.parent == there.parent:
                yield here, there
            return


def test_every_folder_names_the_rooms_of_its_package_that_it_imports() -> None:
    silent = {
        f"{folder} does not name {below.name}"
        for folder, imported, _ in _imports()
        for _, below in _siblings(folder, imported)
        if not re.search(rf"\b{below.name}\b|every\s+other\s+room", _said(folder))
    }
    assert silent == set()


def test_every_folder_says_what_it_is_for_and_what_it_imports() -> None:
    silent = set()
    for folder in _drawn():
        text = _said(folder) if (ROOT / folder / "__init__.py").exists() else None
        if text is not None and (text.count(".") < 2 or "import" not in text.lower()):
            silent.add(str(folder))
    assert silent == set()


def _said(folder: Path) -> str:
    return ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""
