"""The REST API, as the command line calls it."""

from __future__ import annotations

import os
from typing import Any

import httpx

from connectors.local.stack import status
from connectors.local.stack.home import Home
from streams.errors import (
    CampaignError,
    DependencyDownError,
    MalformedError,
    UnauthorizedError,
)
from streams.settings.secret_files import text_of

_KEY = "CAMPAIGNS_API_KEY"


def key_or_default(key: str | None) -> str:
    """Returns the key given, else the one of the environment, else the local demo tenant's. Raises
    UnauthorizedError when there is none, and MalformedError when its file cannot be used.
    """
    try:
        found = key or os.environ.get(_KEY) or text_of(_KEY, os.environ)
    except ValueError as error:
        raise MalformedError(str(error)) from error
    found = found or status.read(Home.from_environment()).apiKey or ""
    if not found:
        raise UnauthorizedError(
            "Which tenant? Set CAMPAIGNS_API_KEY, or name a file by --key-file;"
            " `campaigns tenant create NAME` makes one."
        )
    return found


class Api:
    """CAMPAIGNS_API_URL and CAMPAIGNS_API_KEY, or the file CAMPAIGNS_API_KEY_FILE, name the API;
    without them it is the local stack and its demo tenant.
    """

    def __init__(self, key: str | None = None, url: str | None = None) -> None:
        self.url = (
            url or os.environ.get("CAMPAIGNS_API_URL") or Home.from_environment().api_url
        ).rstrip("/")
        secret = f"Bearer {key_or_default(key)}".encode()
        self.http = httpx.Client(
            base_url=f"{self.url}/api/v1", headers={b"Authorization": secret}, timeout=30
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Returns `data` of the answer. Raises CampaignError with the problem's detail, and
        DependencyDownError when the API does not answer.
        """
        try:
            answer = self.http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise DependencyDownError(
                f"{self.url} does not answer ({type(error).__name__}):"
                " is it running? `campaigns up` starts it."
            ) from error
        if answer.is_success:
            return answer.json()["data"] if answer.content else None
        problem = (
            answer.json()
            if "json" in answer.headers.get("content-type", "")
            else {"detail": answer.text}
        )
        raise CampaignError(problem["detail"])

    def sign_in_link(self) -> str:
        """A link to the dashboard that signs one browser in, once, within ten minutes. Raises as
        `call` does.
        """
        code = self.call("POST", f"{self.url}/session/codes")["code"]
        return f"{self.url}/#code={code}"
