"""The image's lock is complete and holds nothing else; known vulnerabilities of it are told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.image import ENGINES, LOCK, ROOT, bill, image_lock, known_vulnerabilities, locked

# Imports every module of the product; the names that it gets as arguments cannot be imported.
_IMPORT_ALL = """
import importlib, pkgutil, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"{name} is not in the image")

sys.meta_path.insert(0, Hidden())
for room in ("streams", "tables", "connectors", "agents", "api"):
    for module in pkgutil.walk_packages([room], f"{room}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


def test_the_lock_is_the_one_that_the_command_writes() -> None:
    assert LOCK.read_text() == image_lock(), "run `python -m tests.image`"


def test_it_holds_neither_engines_nor_tools_of_the_tests() -> None:
    assert not {*ENGINES, "pytest", "mypy", "setuptools", "pip"} & locked(LOCK.read_text()).keys()


def test_every_module_can_be_imported_with_nothing_else_installed() -> None:
    held = {*locked(LOCK.read_text()), "campaigns"}
    hidden = [
        module
        for module, distributions in packages_distributions().items()
        if not held & set(map(canonicalize_name, distributions))
    ]
    assert "pytest" in hidden
    tried = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *hidden],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr


def test_the_bill_of_materials_names_every_package_its_hashes_and_what_needs_it() -> None:
    lock = LOCK.read_text()
    made = bill(lock)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    components = {each["name"]: each for each in made["components"]}
    assert {name: each["version"] for name, each in components.items()} == {
        name: entry[2] for name, entry in locked(lock).items()
    }
    assert all(each["hashes"] and each["purl"] == each["bom-ref"] for each in made["components"])
    needed = {ref for each in made["dependencies"] for ref in each.get("dependsOn", ())}
    assert {each["bom-ref"] for each in made["components"]} <= needed


@pytest.fixture
def knows_one() -> Iterator[str]:
    """The address of a service that knows a vulnerability of h11, and of nothing else.

    https://google.github.io/osv.dev/post-v1-query/
    """

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = asked["package"]
            known = {
                "id": "PYSEC-2026-1",
                "summary": "Bodies are read twice",
                "published": "2026-01-01T00:00:00Z",
                "affected": [
                    {
                        "package": package,
                        "ranges": [
                            {
                                "type": "ECOSYSTEM",
                                "events": [{"introduced": "0"}, {"fixed": "99.1"}],
                            }
                        ],
                    }
                ],
            }
            answer = json.dumps({"vulns": [known]} if package["name"] == "h11" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_known_vulnerability_is_named_with_the_version_that_mends_it(
    knows_one: str, tmp_path: Path
) -> None:
    entries = locked(LOCK.read_text())
    lock = tmp_path / "some.lock"
    lock.write_text(entries["h11"][0] + entries["idna"][0])
    service = ("--vulnerability-service", "osv", "--osv-url", knows_one)
    found, unknown = known_vulnerabilities(lock, *service)
    assert found == [f"h11 {entries['h11'][2]}: PYSEC-2026-1, mended in 99.1"]
    assert unknown == 0


def test_a_service_that_does_not_answer_is_told_and_no_failure(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(locked(LOCK.read_text())["idna"][0])
    nowhere = ("--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:1/v1/query")
    assert known_vulnerabilities(lock, *nowhere) == ([], 1)
