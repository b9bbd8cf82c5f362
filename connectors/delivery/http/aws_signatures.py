"""The signature of a request to AWS, version 4
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

Written here because the signer of botocore brings 14 MB of the descriptions of all services; a test
compares the two.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

from connectors.delivery.http.exchange import Request

_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED = ("content-type", "host", "x-amz-date")


def signed(
    request: Request, service: str, region: str, key_id: str, secret: str, now: datetime
) -> Request:
    """The request, which has a content type and no query, with the headers that prove the key."""
    parts, at = urlsplit(request.url), now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    values = (request.headers["Content-Type"], parts.netloc, at)
    headers = "".join(f"{name}:{value}\n" for name, value in zip(_SIGNED, values, strict=True))
    names, path = ";".join(_SIGNED), quote(parts.path or "/", safe="/-_.~")
    body = sha256(request.body).hexdigest()
    canonical = f"{request.method}\n{path}\n\n{headers}\n{names}\n{body}"
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    digest = sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"{_ALGORITHM}\n{at}\n{scope}\n{digest}".encode(), "sha256").hex()
    said = f"Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    added = {"X-Amz-Date": at, "Authorization": f"{_ALGORITHM} {said}"}
    return replace(request, headers={**request.headers, **added})
