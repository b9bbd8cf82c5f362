"""What no recipient could get is refused when a template is written."""

from __future__ import annotations

import pytest

from connectors.templates.checks import check_template
from streams.errors import CampaignError
from tables.audience.recipients import FIELDS


def refused(text: str) -> str:
    with pytest.raises(CampaignError) as wrong:
        check_template("sms", {"text": text})
    [error] = wrong.value.errors
    return error.message


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("{{ frist_name }}", "line 1: no contact has `frist_name`"),
        ("a\n\n{{ first_name|default('x') }}", "line 3: no contact has `first_name`"),
        ("{% if vip %}x{% endif %}", "line 1: no contact has `vip`"),
        ("{% for x in\n orders %}{% endfor %}", "line 2: no contact has `orders`"),
        ("{{ firstName ~ plan }}", "line 1: no contact has `plan`"),
        ("{{ contact.first_name }}", "line 1: no contact has `contact.first_name`"),
        ("{{ contact['plan'] }}", "line 1: no contact has `contact.plan`"),
        ("{{ contact\n . plan }}", "line 1: no contact has `contact.plan`"),
        ("{{ campaign.budget }}", "line 1: there is no `campaign.budget`"),
        ("{% set x = y %}{{ x }}", "line 1: no contact has `y`"),
        ("{{ x }}{% set x = 1 %}", "line 1: no contact has `x`"),
        ("{{ loop.index }}", "line 1: no contact has `loop`"),
        ("{{ user.firstName }}", "line 1: no contact has `user`"),
        ("{{ FirstName }}", "line 1: no contact has `FirstName`"),
    ],
)
def test_a_name_that_no_contact_can_have_is_refused_with_its_line(text: str, starts: str) -> None:
    assert refused(text).startswith(starts)


def test_the_refusal_says_where_such_a_value_would_be() -> None:
    said = refused("{{ plan }}")
    assert "`contact.attributes.plan`" in said
    assert all(field in said for field in FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        *("{{ " + field + " }}{{ contact." + field + " }}" for field in FIELDS),
        "{{ attributes.plan }}{{ contact.attributes.plan.x.y }}{{ contact['attributes']['a b'] }}",
        "{{ campaign.name }}{{ unsubscribeUrl }}{{ messageId }}",
        "{% set x = 1 %}{{ x }}{% with y = 2 %}{{ y }}{% endwith %}",
        "{% for a, b in attributes|items %}{{ a }}{{ b }}{{ loop.index }}{% endfor %}",
        "{% for i in range(3) %}{{ i.nosuch }}{% endfor %}",
        "{% for name in contact %}{{ contact[name] }}{% endfor %}",
        "{% for contact in attributes.friends %}{{ contact.plan }}{% endfor %}",
        "{% set campaign = attributes %}{{ campaign.budget }}",
        "{{ 'vip' }}{# {{ vip }} #}{% raw %}{{ vip }}{% endraw %}{{ attributes.vip }}",
        "{{ firstName is odd }}{{ firstName|upper }}{{ true }}{{ none }}",
        "{% set x %}y{% endset %}{{ x }}",
    ],
)
def test_a_name_that_a_contact_can_have_passes(text: str) -> None:
    check_template("sms", {"text": text})


@pytest.mark.parametrize(
    ("html", "text", "rule"),
    [
        ("x" * 200_000, "y" * 60_000, "every message has 260,001 characters or more, the limit is"),
        ("\N{GRINNING FACE}" * 199_000, "\x01" * 1_000, "every message has 802,001 bytes or more"),
    ],
)
def test_a_message_that_is_always_too_large_is_refused(html: str, text: str, rule: str) -> None:
    with pytest.raises(CampaignError) as wrong:
        check_template("email", {"subject": "s", "html": html, "text": text})
    [error] = wrong.value.errors
    assert (error.field, error.message.startswith(rule)) == ("content", True)
    block = "{% if firstName %}" + text + "{% endif %}"
    check_template("email", {"subject": "s", "html": html, "text": block})
