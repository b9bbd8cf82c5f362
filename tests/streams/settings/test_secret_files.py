"""Every setting that is a secret may stand in a file instead of a variable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr, ValidationError

from connectors.local.stack.home import Home
from streams.settings import Settings, secret_files, sentences

_NEEDED = {
    "kafka": "nowhere:1",
    "postgres": "postgresql://nowhere",
    "nats": "nats://nowhere:1",
    "message_keys": "00" * 16,
}
# Secrets that are taken only with other settings, and those that are no mere word.
_WITH: Mapping[str, Mapping[str, str]] = {
    "kafka_password": {
        "kafka_security": "SASL_SSL",
        "kafka_mechanism": "PLAIN",
        "kafka_user": "ana",
    },
    "kafka_key_password": {"kafka_security": "SSL", "kafka_certificate_file": "me.pem"},
    "kafka_token_secret": {
        "kafka_security": "SASL_SSL",
        "kafka_mechanism": "OAUTHBEARER",
        "kafka_token_url": "https://login.example/token",
        "kafka_token_client": "campaigns",
    },
    "nats_password": {"nats_user": "ana"},
}
_TEXTS: Mapping[str, str] = {
    "postgres": "postgresql://ana:s3cret%20@db/campaigns",
    "nats": "nats://ana:s3cret@n1:1,nats://ana:s3cret@n2:1",
    "message_keys": "0:" + "ab" * 32 + ",1:" + "cd" * 32 + ":verify",
    "address_key": "ef" * 32,
}
_SECRETS = secret_files.secrets(Settings)


def text_of(name: str) -> str:
    return _TEXTS.get(name, " s3cret: 'ü' ")


def _set(monkeypatch: pytest.MonkeyPatch, name: str, **variables: str) -> None:
    """The variables of a process that the secret belongs to, without it."""
    for field, value in {**_NEEDED, **_WITH.get(name, {})}.items():
        if field != name:
            monkeypatch.setenv(f"CAMPAIGNS_{field.upper()}", value)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


def _file(folder: Path, content: str | bytes) -> str:
    file = folder / "secret"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", _SECRETS)
def test_a_file_is_as_good_as_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, end: str
) -> None:
    variable = f"CAMPAIGNS_{name.upper()}"
    _set(monkeypatch, name, **{variable: text_of(name)})
    by_variable = Settings()
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}_FILE", _file(tmp_path, text_of(name) + end))
    assert Settings() == by_variable
    assert by_variable.environment()[variable] == text_of(name)


@pytest.mark.parametrize("name", _SECRETS)
def test_a_file_and_the_variable_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    variable = f"CAMPAIGNS_{name.upper()}"
    both = {variable: text_of(name), f"{variable}_FILE": _file(tmp_path, "another")}
    _set(monkeypatch, name, **both)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert sentences(refused.value) == [
        f"{variable} and {variable}_FILE are both set: unset one of them"
    ]
    monkeypatch.setenv(f"{variable}_FILE", "")  # an empty variable is none
    Settings()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("folder", "cannot be read (Is a directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b" \t\r\n", "is empty"),
        (b"s3cret\ns3cret\n", "has more than one line, or control characters"),
        (b"s3cret\0", "has more than one line, or control characters"),
        (b"s3cret\xff\xfe", "is not text (UTF-8)"),
        (b"s3cret" * 20_000, "is longer than 65536 bytes: is it another file?"),
    ],
)
@pytest.mark.parametrize("name", _SECRETS)
def test_a_file_that_cannot_be_used_is_one_sentence_without_a_word_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: Any, reason: str
) -> None:
    if isinstance(content, bytes):
        path = _file(tmp_path, content)
    else:
        path = str(tmp_path if content == "folder" else tmp_path / "missing")
    _set(monkeypatch, name, **{f"CAMPAIGNS_{name.upper()}_FILE": path})
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert sentences(refused.value) == [f"CAMPAIGNS_{name.upper()}_FILE: {path} {reason}"]
    assert "s3cret" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_of_somebody_else_is_one_sentence(tmp_path: Path) -> None:
    path = _file(tmp_path, "s3cret")
    Path(path).chmod(0)
    with pytest.raises(ValueError, match="Permission denied"):
        secret_files.text_of("CAMPAIGNS_X", {"CAMPAIGNS_X_FILE": path})


def test_every_wrong_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"CAMPAIGNS_{name.upper()}_FILE": "/nowhere" for name in _SECRETS}
    for variable, path in files.items():
        monkeypatch.setenv(variable, path)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert len(sentences(refused.value)) == len(_SECRETS)


def test_every_secret_may_stand_in_a_file() -> None:
    def is_secret(annotation: Any) -> bool:
        return annotation is SecretStr or any(map(is_secret, get_args(annotation)))

    hidden = {name for name, it in Settings.model_fields.items() if is_secret(it.annotation)}
    assert hidden | {"postgres", "nats"} <= set(_SECRETS)
    assert not {f"{name}_file" for name in _SECRETS} & set(Settings.model_fields)


def test_a_setting_that_is_no_secret_stands_in_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _set(monkeypatch, "", CAMPAIGNS_PARTITIONS_FILE=_file(tmp_path, "9"))
    assert Settings().partitions == 8


@pytest.mark.parametrize("name", _SECRETS)
def test_the_local_stack_knows_a_server_by_the_file_of_its_address(
    tmp_path: Path, name: str
) -> None:
    variable = f"CAMPAIGNS_{name.upper()}"
    given = {f"CAMPAIGNS_{it.upper()}": value for it, value in _WITH.get(name, {}).items()}
    given |= {"CAMPAIGNS_KAFKA": "broker:9092", "CAMPAIGNS_NATS": "nats://nowhere:1"}
    given |= {f"{variable}_FILE": _file(tmp_path, text_of(name)), variable: ""}
    home = Home.from_environment({**given, "CAMPAIGNS_HOME": str(tmp_path / "home")})
    assert home.environment()[variable] == text_of(name)
    assert home.environment()[f"{variable}_FILE"] == ""  # nobody reads it a second time
    assert home.settings().environment()[variable] == text_of(name)


def test_a_process_ends_with_the_sentence(tmp_path: Path) -> None:
    needed = {f"CAMPAIGNS_{name.upper()}": value for name, value in _NEEDED.items()}
    del needed["CAMPAIGNS_POSTGRES"]
    ran = subprocess.run(
        [sys.executable, "-m", "connectors.setup.prepare"],
        env={**os.environ, **needed, "CAMPAIGNS_POSTGRES_FILE": str(tmp_path / "missing")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr == (
        f"CAMPAIGNS_POSTGRES_FILE: {tmp_path / 'missing'} cannot be read"
        " (No such file or directory)\n"
    )
