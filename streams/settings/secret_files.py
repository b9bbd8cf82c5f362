"""Secrets from files: `CAMPAIGNS_X_FILE` names a file whose text is the value of `CAMPAIGNS_X`.

It is so for every setting that is a secret or may hold one: for each whose type has a `SecretStr`
in it, and for each text marked HAS_PASSWORD. Orchestrators hand secrets over like this
(https://docs.docker.com/reference/compose-file/secrets/).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import PydanticBaseSettingsSource

HAS_PASSWORD = "has-password"  # marks, in Annotated, a text such as a URL that may hold a secret
_LONGEST = 64 << 10  # bytes; nothing that is a secret is longer


class SecretFiles(PydanticBaseSettingsSource):
    """The settings that files of the environment hold."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("all are read at once")

    def __call__(self) -> dict[str, Any]:
        return read(self.settings_cls, os.environ)


def read(model: type[BaseModel], environ: Mapping[str, str]) -> dict[str, str]:
    """The values of the model's secrets that stand in files, by the names of their fields.

    Raises `ValidationError` with a sentence for each file that cannot be used.
    """
    found, wrong = dict[str, str](), list[InitErrorDetails]()
    for name in secrets(model):
        variable = variable_of(name)
        try:
            if value := text_of(variable, environ):
                found[name] = value
        except ValueError as error:
            problem = PydanticCustomError("secret_file", "{sentence}", {"sentence": str(error)})
            wrong.append(InitErrorDetails(type=problem, loc=(name,), input=None))
    if wrong:
        raise ValidationError.from_exception_data(model.__name__, wrong, hide_input=True)
    return found


def secrets(model: type[BaseModel]) -> list[str]:
    """The names of the fields that are secrets or may hold one."""
    return [
        name
        for name, field in model.model_fields.items()
        if HAS_PASSWORD in field.metadata or _is_secret(field.annotation)
    ]


def variable_of(name: str) -> str:
    return f"CAMPAIGNS_{name.upper()}"


def text_of(variable: str, environ: Mapping[str, str]) -> str:
    """The text of the file that `<variable>_FILE` names, without line breaks at its end; "" when
    none is named.

    Raises ValueError with a sentence, which quotes no part of it, when the file cannot be used or
    the variable has a value of its own, too.
    """
    named = f"{variable}_FILE"
    if not (path := environ.get(named, "")):
        return ""
    if environ.get(variable):
        raise ValueError(f"{variable} and {named} are both set: unset one of them")
    return text_in(path, named)


def text_in(path: str, named: str) -> str:
    """The text of the file, without line breaks at its end. `named` is what names it.

    Raises ValueError with a sentence, which quotes no part of it, when the file cannot be used.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LONGEST + 1)
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{named}: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ValueError(f"{named}: {path} is not text (UTF-8)") from None
    if not text.strip():
        raise ValueError(f"{named}: {path} is empty")
    if len(content) > _LONGEST:
        raise ValueError(f"{named}: {path} is longer than {_LONGEST} bytes: is it another file?")
    if any(character < " " for character in text):
        raise ValueError(f"{named}: {path} has more than one line, or control characters")
    return text


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))
