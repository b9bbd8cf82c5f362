"""docker-compose.yml and the Dockerfile agree with the real command line, the role table and the
settings.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from api.command_line import app
from api.command_line.stack.processes import WORKERS
from connectors.local.stack.roles import ENGINES, ROLES
from streams.settings import Settings, secret_files

_ROOT = Path(__file__).parent.parent
_COMPOSE: dict[str, Any] = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_OURS = {name: service for name, service in _SERVICES.items() if name not in ENGINES}
_IN_FILES = {f"CAMPAIGNS_{name.upper()}_FILE" for name in secret_files.secrets(Settings)}
_WITH_DEFAULT = re.compile(r"^\$\{(CAMPAIGNS_\w+):-(.*)\}$")


def test_every_role_is_a_service_and_every_service_a_role() -> None:
    assert set(_SERVICES) == {*ENGINES, *ROLES, "prepare"}


@pytest.mark.parametrize("name", sorted(_OURS))
def test_the_command_of_a_service_is_one_of_the_command_line(name: str) -> None:
    command, *arguments = _OURS[name]["command"]
    if name == "prepare":  # tests/stacks/test_compose_roles.py carries it out
        arguments = []
    assert command in typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    assert (command, arguments) == (("worker", [name]) if name in WORKERS else (name, []))


@pytest.mark.parametrize("name", sorted(_OURS))
def test_every_variable_of_a_service_is_a_setting_with_the_settings_default(name: str) -> None:
    for variable, value in _OURS[name]["environment"].items():
        if variable in _IN_FILES:
            continue
        setting = Settings.model_fields[variable.removeprefix("CAMPAIGNS_").lower()]
        spelt = _WITH_DEFAULT.match(value)
        if spelt:
            assert spelt[1] == variable
            if not setting.is_required():
                assert spelt[2] == str(setting.default)


def test_secrets_have_no_default() -> None:
    text = (_ROOT / "docker-compose.yml").read_text()
    for secret in (
        "CAMPAIGNS_MESSAGE_KEYS",
        "POSTGRES_PASSWORD",
        "POSTGRES_API_PASSWORD",
        "POSTGRES_WORKERS_PASSWORD",
    ):
        assert set(re.findall(rf"\$\{{{secret}(..)", text)) == {":?"}


@pytest.mark.parametrize("name", sorted(_SERVICES))
def test_a_secret_is_a_file_of_the_service_and_not_in_its_environment(name: str) -> None:
    service = _SERVICES[name]
    files = {it["target"]: it["source"] for it in service.get("configs", ())}
    for variable, value in service.get("environment", {}).items():
        assert not re.search(r"POSTGRES_\w*PASSWORD", value), variable
        assert "MESSAGE_KEYS" not in value, variable
        if variable.endswith("_FILE") and variable != "CAMPAIGNS_READY_FILE":
            assert "content" in _COMPOSE["configs"][files[value]]
    if name in _OURS:
        given = set(service["environment"])
        assert {"CAMPAIGNS_POSTGRES_FILE", "CAMPAIGNS_MESSAGE_KEYS_FILE"} <= given


@pytest.mark.parametrize("name", sorted(_OURS))
def test_a_service_has_the_access_of_its_own_role_of_postgresql_and_no_other(name: str) -> None:
    expected = {
        "prepare": {"postgres", "postgres-api", "postgres-workers"},
        "api": {"postgres-api"},
        "simulate": {"postgres-nobody"},
    }.get(name, {"postgres-workers"})
    given = {it["source"] for it in _OURS[name]["configs"]}
    assert given == expected | {"message-keys"}


def test_a_service_waits_for_healthy_services_only() -> None:
    for name, service in _SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in _SERVICES[needed]["healthcheck"], (
                    f"{name} waits for {needed}, which has no health check"
                )
            else:
                assert (needed, how["condition"]) == ("prepare", "service_completed_successfully")


def test_a_service_that_scales_takes_no_port_and_no_name_of_the_machine() -> None:
    for name, role in ROLES.items():
        if role.is_scalable:
            assert not {"ports", "container_name"} & set(_SERVICES[name])


def test_the_image_holds_every_package_and_starts_the_command_line() -> None:
    lines = (_ROOT / "Dockerfile").read_text().splitlines()
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    packages = {
        pattern.rstrip("*")
        for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    assert packages == {line.split()[1] for line in lines if re.fullmatch(r"COPY (\w+) \1", line)}
    assert f'ENTRYPOINT ["{next(iter(project["project"]["scripts"]))}"]' in lines


def test_the_image_is_built_on_one_base_that_does_not_move() -> None:
    bases = re.findall(r"^FROM (\S+)", (_ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(bases) == 2 and len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", bases[0])
