"""Amazon SES, beside botocore."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from connectors.delivery.classification import Verdict
from connectors.delivery.http.aws_signatures import signed
from connectors.delivery.http.exchange import Request
from connectors.delivery.mime import compose
from tests.connectors.delivery.providers.given import (
    ID,
    NOW,
    SECRET,
    are_one,
    email,
    ours,
    provider,
    theirs,
    verdict,
)
from tests.connectors.delivery.reading import part
from tests.http_service import Service, said, service

SES: dict[str, Any] = {"region": "eu-central-1", "configurationSet": "marketing"}


def _send(there: Service) -> None:
    client = Session().create_client(
        "sesv2",
        region_name="eu-central-1",
        endpoint_url=there.url,
        aws_access_key_id=SECRET.username,
        aws_secret_access_key=SECRET.password,
    )
    client.send_email(
        FromEmailAddress="news@acme.example",
        Destination={"ToAddresses": ["ana@example.com"]},
        Content={"Raw": {"Data": compose(email()).content}},
        EmailTags=[{"Name": "messageId", "Value": ID}],
        ConfigurationSetName="marketing",
    )
    client.close()


async def test_the_request_is_the_one_that_its_sdk_makes() -> None:
    # docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
    async with service(lambda heard: said(200, {"MessageId": "0100017a"})) as there:
        sdk = await theirs(there, lambda: _send(there))
        own = await ours(there, "ses", email(), **SES)
    are_one(own, sdk)
    assert own.json == sdk.json
    content = b64decode(own.json["Content"]["Raw"]["Data"])
    assert part(content, "plain") == "Hello, Ana"
    assert (
        "Credential=the-user/20261101/eu-central-1/ses/aws4_request"
        in (own.headers["authorization"])
    )


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "/v2/email/outbound-emails", "/a b/ü~", "/a-b_c.d"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=40),
)
def test_the_signature_is_that_of_botocore(
    body: bytes, path: str, at: datetime, secret: str
) -> None:
    url, kind = f"https://email.eu-west-1.amazonaws.com{path}", {"Content-Type": "text/x"}
    own = signed(Request(url, body, kind), "ses", "eu-west-1", "AKID", secret, at)
    request = AWSRequest("POST", url, headers=dict(kind), data=body)
    request.context["timestamp"] = own.headers["X-Amz-Date"]
    signer = auth.SigV4Auth(Keys("AKID", secret), "ses", "eu-west-1")
    request.headers["X-Amz-Date"] = own.headers["X-Amz-Date"]
    canonical = signer.canonical_request(request)
    wanted = signer.signature(signer.string_to_sign(request, canonical), request)
    assert own.headers["Authorization"].endswith(f"Signature={wanted}")
    assert request.headers["X-Amz-Date"] == at.strftime("%Y%m%dT%H%M%SZ")


# …/APIReference-V2/API_SendEmail.html, "Errors", and …/APIReference-V2/CommonErrors.html
@pytest.mark.parametrize(
    ("status", "kind", "wanted"),
    [
        (400, "AccountSuspendedException", Verdict.CONFIGURATION),
        (400, "BadRequestException", Verdict.CONTENT),
        (400, "LimitExceededException", Verdict.THROTTLED),
        (400, "MailFromDomainNotVerifiedException", Verdict.CONFIGURATION),
        (400, "MessageRejected", Verdict.CONTENT),
        (404, "NotFoundException", Verdict.CONFIGURATION),
        (400, "SendingPausedException", Verdict.CONFIGURATION),
        (429, "TooManyRequestsException", Verdict.THROTTLED),
        (400, "ThrottlingException", Verdict.THROTTLED),
        (403, "AccessDeniedException", Verdict.CONFIGURATION),
        (403, "UnrecognizedClientException", Verdict.CONFIGURATION),
        (403, "SignatureDoesNotMatch", Verdict.CONFIGURATION),
        (500, "InternalFailure", Verdict.DOUBT),
        (503, "ServiceUnavailable", Verdict.THROTTLED),
        (413, "", Verdict.CONTENT),
    ],
)
def test_an_error_is_what_its_type_and_its_status_say(
    status: int, kind: str, wanted: Verdict
) -> None:
    of, body = provider("ses", **SES), b'{"message": "The words."}'
    assert verdict(of, status, body, x_amzn_errortype=kind) is wanted
    longer = f"{kind}:http://internal.amazon.com/coral/com.amazonaws.services.ses.v2/"
    assert verdict(of, status, body, x_amzn_errortype=longer) is wanted


def test_a_sender_that_is_not_verified_is_the_tenants_to_put_right() -> None:
    # …/ses/latest/dg/troubleshoot-error-messages.html
    words = b'{"message": "Email address is not verified. The following identities failed: x"}'
    kind = "MessageRejected"
    of = provider("ses", **SES)
    assert verdict(of, 400, words, x_amzn_errortype=kind) is Verdict.CONFIGURATION
    assert of.window is None


def test_each_region_has_a_place_of_its_own() -> None:
    request = provider("ses", region="ap-southeast-2").request([email()], NOW)
    assert request.url == "https://email.ap-southeast-2.amazonaws.com/v2/email/outbound-emails"
    assert b"ConfigurationSetName" not in request.body
