"""Templates that are written to take long, or to grow: the work for each is bounded, counted in
steps and characters and not in time.
"""

from __future__ import annotations

import pytest

from connectors.templates.checks import check_template
from connectors.templates.conditions.expressions import TooIntricateError, forgiving
from connectors.templates.markup import reading, tokens
from connectors.templates.markup.findings import Found
from connectors.templates.markup.reading import read_template
from connectors.templates.markup.tokens import State
from streams.errors import CampaignError

NESTED = [
    ("attributes[", "attributes.a", "]==1"),
    ("email[", "email", "]<1"),
    ("email|d(email[", "email", "])"),
    ("email|join(email[", "email", "])"),
    ("email[", "email", "]|upper"),
]


@pytest.mark.parametrize(("before", "core", "behind"), NESTED)
@pytest.mark.parametrize("depth", [20, 35])
def test_conditions_in_each_other_are_refused_before_they_grow(
    before: str, core: str, behind: str, depth: int
) -> None:
    source = f"\n{{% if {before * depth}{core}{behind * depth} %}}x{{% endif %}}"
    with pytest.raises(TooIntricateError, match="line 2: "):
        forgiving(source)
    with pytest.raises(CampaignError) as raised:
        check_template("sms", {"text": source})
    [wrong] = raised.value.errors
    assert wrong.field == "content.text"
    assert wrong.message == "line 2: too many brackets in each other"


@pytest.mark.parametrize(("before", "core", "behind"), NESTED)
def test_a_condition_that_may_be_written_by_hand_is_none_of_these(
    before: str, core: str, behind: str
) -> None:
    check_template("sms", {"text": f"{{% if {before * 3}{core}{behind * 3} %}}x{{% endif %}}"})


LOOP, END = "{% for x in [1] %}", "{% endfor %}"


@pytest.mark.parametrize(
    "html",
    [
        f"{LOOP * 8}<{'<p>' * 5000}{END * 8}",
        f"{(LOOP + '<a href=x') * 16}{'<p>' * 5000}{END * 16}",
        f"<a {(LOOP + 'h') * 16}{'<p>' * 5000}='{END * 16}",
        f"{LOOP * 40}{'{{ email }}' * 3000}{END * 40}",
        f"{(LOOP + '{% if email %}<a {% endif %}') * 20}{'<p >' * 3000}{END * 20}",
    ],
)
def test_loops_in_each_other_are_followed_so_far_and_no_further(
    html: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    characters = 0

    def counted(state: State, text: str, position: int) -> tuple[State, Found]:
        nonlocal characters
        characters += len(text)
        return tokens.read(state, text, position)

    monkeypatch.setattr(reading, "read", counted)
    read_template(html)
    assert characters <= 400_000 + len(html)


def test_a_text_in_loops_in_each_other_is_read_once_for_each_state() -> None:
    """So its links are tracked at a depth where 2^60 ways lead to it."""
    html = f"{LOOP * 60}<a href='https://a.example/'>x</a>{END * 60}"
    [value] = read_template(html).values
    assert html[value.start : value.stop] == "https://a.example/"


@pytest.mark.parametrize(
    ("begin", "end"),
    [("{% if email %}", "{% endif %}"), (LOOP, END), ("{% set a %}", "{% endset %}")],
)
def test_blocks_in_each_other_do_not_exhaust_the_stack_of_a_caller_that_is_deep_itself(
    begin: str, end: str
) -> None:
    def called(depth: int, html: str) -> None:
        if depth:
            called(depth - 1, html)
        else:
            check_template("email", {"subject": "s", "html": html})

    called(300, f"{begin * 145}<a href='https://a.example/'>x</a>{end * 145}")


def test_a_comment_behind_a_script_is_none_of_it() -> None:
    """The body's end is then a place for an image."""
    html = "<body><script>1</script><!-- x --></body>"
    assert read_template(html).ends == {html.index("</body>"): True}
