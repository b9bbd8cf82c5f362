"""The settings of routes, the ways out of a tenant's channels: one kind for each provider.

`settings` has what all of them share, `smtp` a relay, `http` the providers that take messages over
HTTP. `RouteSettings` validates a value as the kind that its `provider` names. The room imports
`streams.contracts.values` and the fields beside it.
"""

from streams.contracts.routes.http import (
    MOST_IN_BATCH,
    BrevoRoute,
    HttpRoute,
    MailgunRoute,
    PostmarkRoute,
    ResendRoute,
    SendGridRoute,
    SesRoute,
    TwilioRoute,
    VonageRoute,
    WebhookRoute,
    WhatsAppRoute,
)
from streams.contracts.routes.settings import (
    MOST_DOMAINS,
    OnDoubt,
    Retry,
    RouteLimits,
    RouteSettings,
    Tls,
    Warmup,
)
from streams.contracts.routes.smtp import BounceMailbox, Bounces, SmtpLimits, SmtpRoute, bounces_of

__all__ = [
    "MOST_DOMAINS",
    "MOST_IN_BATCH",
    "BounceMailbox",
    "Bounces",
    "BrevoRoute",
    "HttpRoute",
    "MailgunRoute",
    "OnDoubt",
    "PostmarkRoute",
    "ResendRoute",
    "Retry",
    "RouteLimits",
    "RouteSettings",
    "SendGridRoute",
    "SesRoute",
    "SmtpLimits",
    "SmtpRoute",
    "Tls",
    "TwilioRoute",
    "VonageRoute",
    "Warmup",
    "WebhookRoute",
    "WhatsAppRoute",
    "bounces_of",
]

RouteSettings.kinds = {
    "smtp": SmtpRoute,
    "webhook": WebhookRoute,
    "resend": ResendRoute,
    "postmark": PostmarkRoute,
    "sendgrid": SendGridRoute,
    "mailgun": MailgunRoute,
    "brevo": BrevoRoute,
    "ses": SesRoute,
    "twilio": TwilioRoute,
    "vonage": VonageRoute,
    "whatsapp": WhatsAppRoute,
}
