"""Languages of other systems are recognised: what is refused has a hint, the rest a warning."""

from __future__ import annotations

import pytest

from connectors.templates.checks import check_template, template_warnings
from streams.errors import CampaignError


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("@media(x:6px){#main{color:red}}", "`{#` begins a comment; where it is CSS, write `{ #`"),
        ("{#-main{color:red}}", "where it is CSS"),
        ("{{{ firstName }}}", "`{{{ … }}}` of Handlebars is `{{ … | safe }}` here"),
        ("{{{ firstName", "`{{{ … }}}` of Handlebars"),
        ("{{#if x}}a{{/if}}", "blocks of Handlebars are `{% if … %}`"),
        ("{{/if}}", "the end of a block of Handlebars"),
        ("{{^ x }}", "is `{% if not … %}` here"),
        ("{{> footer }}", "no partials of Handlebars"),
        ("{{! hi }}", "a comment of Handlebars is `{# … #}`"),
        ("{{& x }}", "is `{{ … | safe }}` here"),
        ("{% assign x = 1 %}", "write `{% set name = … %}`"),
        ("{% capture x %}", "write `{% set name %}…{% endset %}`"),
        ("{% unless x %}", "write `{% if not … %}`"),
        ("{% if 1 %}{% elsif 2 %}{% endif %}", "write `{% elif … %}`"),
        ("{%- comment -%}", "write `{# … #}`"),
    ],
)  # fmt: skip
def test_what_is_refused_says_how_it_is_written_here(text: str, hint: str) -> None:
    with pytest.raises(CampaignError) as wrong:
        check_template("sms", {"text": "\n" + text})
    [error] = wrong.value.errors
    assert error.message.startswith("line 2: ")
    assert hint in error.message


@pytest.mark.parametrize(
    "placeholder",
    ["*|FNAME|*", "*|MC:SUBJECT|*", "*|IF:FNAME|*", "*|DATE:d/m/y|*", "%%name%%", "%%first name%%",
     "%recipient.name%", "%recipient_email%", "<%= name %>", "<% name %>", "${user.name}"],
)  # fmt: skip
def test_a_placeholder_of_another_system_is_warned_about_once(placeholder: str) -> None:
    content = {"subject": "Hi {{ firstName }}", "html": f"a\n {placeholder} {placeholder}"}
    said = f"html, line 2: `{placeholder}` is sent as it is: variables are `{{{{ … }}}}`"
    assert template_warnings(content) == [said]


@pytest.mark.parametrize(
    "text",
    ["100%% of 50%%", "a * b | c * d", "*|*", "%%%%", "$5 {x}", "[NEW] sale", "{{ '*|A|*' }}",
     "{# %%name%% #}", "{% raw %}${x}{% endraw %}",
     "{{ not closed *|A|*", "100 %recipients%", "50%off%"],
)  # fmt: skip
def test_ordinary_text_is_not_warned_about(text: str) -> None:
    assert template_warnings({"text": text}) == []
