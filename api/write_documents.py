"""`python -m api.write_documents` writes the OpenAPI and the AsyncAPI document; a test compares
each with what the code says now.
"""

from __future__ import annotations

from pydantic import SecretStr

from api.app import create_app
from api.documents import asyncapi, openapi
from streams.settings import Settings


def openapi_text() -> str:
    """The OpenAPI document of the application; it does not depend on the settings."""
    nowhere = Settings(kafka="", postgres="", nats="", message_keys=(SecretStr("00" * 32),))
    return openapi.text(create_app(nowhere))


if __name__ == "__main__":
    openapi.FILE.write_text(openapi_text())
    asyncapi.FILE.write_text(asyncapi.text())
