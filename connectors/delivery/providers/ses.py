"""Amazon SES: SendEmail of API version 2, with the mail as `mime` makes it
(docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html).

It knows no repeat, and puts its own Message-ID into the mail. The tag `messageId` comes back in the
events that a configuration set publishes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from connectors.delivery.classification import Verdict
from connectors.delivery.http.aws_signatures import signed
from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.delivery.mime import compose
from streams.contracts.routes import SesRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

# The type of an error, which its status often does not tell: the page above, "Errors", and
# …/APIReference-V2/CommonErrors.html
_TYPES: Mapping[str, Verdict] = MappingProxyType(
    {
        "AccountSuspendedException": Verdict.CONFIGURATION,
        "BadRequestException": Verdict.CONTENT,
        "LimitExceededException": Verdict.THROTTLED,
        "MailFromDomainNotVerifiedException": Verdict.CONFIGURATION,
        "MessageRejected": Verdict.CONTENT,
        "NotFoundException": Verdict.CONFIGURATION,  # such as the configuration set
        "SendingPausedException": Verdict.CONFIGURATION,
        "ThrottlingException": Verdict.THROTTLED,
        "TooManyRequestsException": Verdict.THROTTLED,
    }
)
# …/ses/latest/dg/troubleshoot-error-messages.html: of a sender's address or domain
_NOT_VERIFIED = "not verified"


class Ses:
    """An account of AWS, in one region."""

    window = None

    def __init__(self, route: SesRoute, credentials: Credentials) -> None:
        self._route, self._credentials = route, credentials

    def request(self, message: Message, now: datetime) -> Request:
        mail = compose(message)
        body: dict[str, object] = {
            "FromEmailAddress": mail.sender,
            "Destination": {"ToAddresses": [mail.recipient]},
            "Content": {"Raw": {"Data": b64encode(mail.content).decode()}},
            "EmailTags": [{"Name": "messageId", "Value": message.message_id}],
        }
        if self._route.configuration_set is not None:
            body["ConfigurationSetName"] = self._route.configuration_set
        url = f"{self._route.base}/v2/email/outbound-emails"
        plain = Request(url, encode(body), {"Content-Type": JSON})
        given = self._credentials
        return signed(plain, "ses", self._route.region, given.username, given.password, now)

    def read(self, answer: Answer) -> Meaning:
        kind = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
        words = answer.form.text("message") or answer.form.text("Message")
        verdict = _TYPES.get(kind)
        if kind == "MessageRejected" and _NOT_VERIFIED in words:
            verdict = Verdict.CONFIGURATION
        return meaning(answer, kind, words, verdict=verdict)
