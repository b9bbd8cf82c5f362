"""The addresses of the three servers, and the form in which settings pass to other processes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streams.settings.secret_files import HAS_PASSWORD, SecretFiles

Password = Annotated[SecretStr, Field(description="of this user")]
CertificateFile = Annotated[
    str, Field(description="PEM file of the client's own certificate; empty = none")
]
KeyFile = Annotated[
    str, Field(description="PEM file of its private key; empty = in the certificate's file")
]


MayHavePassword = Annotated[str, HAS_PASSWORD]


class Addresses(BaseSettings):
    """The servers and secrets that every process must be given. Each secret may stand in a file
    (`secret_files`).
    """

    model_config = SettingsConfigDict(
        env_prefix="CAMPAIGNS_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    kafka: str = Field(description="bootstrap servers, host:port[,host:port]")
    postgres: MayHavePassword = Field(description="DSN, postgresql://user@host:port/database")
    nats: MayHavePassword = Field(
        description="servers of one cluster, nats://host:port or tls://host:port, comma-separated"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over variables, which may name files."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    def environment(self) -> dict[str, str]:
        """The variables that recreate these settings in another process. It holds secrets: never
        print it.
        """
        plain = self.model_dump(mode="json")
        values = {name: _spelled(value, plain[name]) for name, value in self}
        return {f"CAMPAIGNS_{name.upper()}": value for name, value in values.items()}

    def given(self) -> set[str]:
        """The names of the variables that have a value."""
        return {variable for variable, value in self.environment().items() if value}


def _spelled(value: object, plain: object) -> str:
    """A value as a variable has it; `plain` is its form in JSON, which hides secrets."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(_spelled(part, part) for part in value)
    return str(plain)
