"""Which privileges on which tables the code of a process can use, found without running it.

From the modules in which a process starts every definition is followed whose name another one
mentions: functions and classes by their source, constants by their values, so that statements which
are put together when a module is imported are whole. In these texts the statements of SQL and of
SQLAlchemy are looked for.

It errs to one side: a privilege is used when any code that could be reached has a statement for it,
also code that this process never calls. A statement whose table is only known at run time is not
seen, nor is what triggers and functions of the database do; the test names those.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import ModuleType
from typing import Any

from tables.models import Base

PACKAGES = ("streams", "tables", "agents", "connectors", "api")
_TABLES: Mapping[str, str] = {
    mapper.class_.__name__: str(mapper.local_table) for mapper in Base.registry.mappers
}
# A model that is mentioned is read; what else is done to it, these words say.
_OF_MODELS = {
    "INSERT": r"\b(?:insert|pg_insert)\(\s*{0}\b|\b{0}\(",
    "UPDATE": r"\bupdate\(\s*{0}\b|with_for_update|\.on_conflict_do_update",
    "DELETE": r"\bdelete\(\s*{0}\b",
    "SELECT": r"\b{0}\b",
}
_OF_SQL = {
    "INSERT": r"\bINSERT\s+INTO\s+{0}\b|\bCOPY\s+{0}\b",
    "UPDATE": r"\bUPDATE\s+(?:ONLY\s+)?{0}\b|\bINTO\s+{0}\b(?:.|\n)*?DO\s+UPDATE"
    r"|\b{0}\b(?:.|\n)*?FOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|SHARE|KEY\s+SHARE)",
    "DELETE": r"\bDELETE\s+FROM\s+{0}\b",
    "SELECT": r"\b(?:FROM|JOIN|UPDATE|USING)\s+(?:ONLY\s+)?{0}\b|,\s*{0}\s+\w+\b"
    r"|\bINTO\s+{0}\b(?:.|\n)*?(?:ON\s+CONFLICT|RETURNING)",
}


def used(start: Collection[str]) -> dict[tuple[str, str], set[str]]:
    """(table, privilege) -> the definitions that may use it, in processes that start in these
    modules.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for name, text in _reached(start).items():
        if name.startswith("tables.models"):  # says what there is, and does nothing
            continue
        for key in _in(text.replace("models.", "")):
            found.setdefault(key, set()).add(name)
    return found


def _in(text: str) -> Iterator[tuple[str, str]]:
    for names, values in re.findall(
        r"^\s*\(?([\w, ]+?)\)? = \(?([\w, ]+?)\)?$", text, re.MULTILINE
    ):
        for alias, model in zip(names.split(", "), values.split(", "), strict=False):
            if model in _TABLES:  # as `one = WhatsappUser`
                text = re.sub(rf"\b{alias}\b", model, text)
    for model, table in _TABLES.items():
        if model in text:
            for privilege, pattern in _OF_MODELS.items():
                if re.search(pattern.format(model), text):
                    yield table, privilege
    for table in (*Base.metadata.tables, "alembic_version"):
        if table in text:
            for privilege, pattern in _OF_SQL.items():
                if re.search(pattern.format(table), text):
                    yield table, privilege


def _reached(start: Collection[str]) -> dict[str, str]:
    """Definition -> its text."""
    waiting, texts = list(start), dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name in texts:
            continue
        module_name, _, what = name.partition(":")
        module = _Module.of(module_name)
        texts[name] = module.text(what)
        waiting += module.mentioned(what)
    return texts


class _Module:
    """The definitions at the top of a module. The one with the name "" is all the rest: what is
    carried out when it is imported, and what a decorator hands to a framework.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self._source = inspect.getsource(module)
        tree = ast.parse(self._source)
        self._nodes: dict[str, list[ast.stmt]] = {"": []}
        self._names: dict[str, str] = {}  # as known here -> definition, or module
        for node in tree.body:
            self._enter(node)

    @classmethod
    @cache
    def of(cls, name: str) -> _Module:
        return cls(importlib.import_module(name))

    def _enter(self, node: ast.stmt) -> None:
        own = self.module.__name__
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._nodes[node.name] = [node]
                self._names[node.name] = f"{own}:{node.name}"
                if node.decorator_list and not isinstance(node, ast.ClassDef):
                    self._nodes[""].append(ast.Expr(ast.Name(node.name)))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                self._nodes[name] = [node]
                self._names[name] = f"{own}:{name}"
            case _:
                self._nodes[""].append(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            return
        source = node.module or ""
        if source.partition(".")[0] not in PACKAGES:
            return
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            known = alias.asname or alias.name
            self._names[known] = inner if inner in _modules() else f"{source}:{alias.name}"

    def text(self, what: str) -> str:
        value = getattr(self.module, what, None)
        nodes = self._nodes.get(what, [])
        if nodes and isinstance(nodes[0], (ast.Assign, ast.AnnAssign)):
            return "\n".join(_strings(value)) or "\n".join(map(ast.unparse, nodes))
        return "\n".join(map(ast.unparse, nodes))

    def mentioned(self, what: str) -> Iterator[str]:
        if what not in self._nodes and what in self._names:  # imported here, and exported
            yield self._names[what]
        yield f"{self.module.__name__}:"
        for node in self._nodes.get(what, []):
            for each in ast.walk(node):
                if isinstance(each, ast.Name):
                    yield from self._of(each.id, None)
                elif isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
                    yield from self._of(each.value.id, each.attr)

    def _of(self, known: str, attribute: str | None) -> Iterator[str]:
        name = self._names.get(known)
        if name is None:
            return
        if ":" in name:
            yield name
        elif attribute is not None:
            yield f"{name}:{attribute}"
        else:  # a module that is handed on: whatever it makes known
            module = _Module.of(name)
            yield from (f"{name}:{one}" for one in module._nodes)


@cache
def _modules() -> frozenset[str]:
    found = set[str]()
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        found |= {package, *(it.name for it in pkgutil.walk_packages(path, f"{package}."))}
    return frozenset(found)


def _strings(value: Any) -> Iterator[str]:
    """The texts in a constant."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for one in value:
            yield from _strings(one)
    elif is_dataclass(value) and not isinstance(value, type):
        for it in fields(value):
            yield from _strings(getattr(value, it.name))
