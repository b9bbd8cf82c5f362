"""The one rule for texts of one line, and the normal form of names."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from streams.contracts.channel_settings import EmailSettings
from streams.contracts.fields import Label, Name, Reason
from streams.contracts.values.one_line import composed, folded, is_one_line

SPELLED = [
    "\U0001f469\u200d\U0001f4bb Launch",  # an emoji of two, joined
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, ZWNJ
    "\u0d9a\u0dca\u200d\u0dbb\u0dd3",  # Sinhala, ZWJ
    "\u0915\u094d\u200d\u0937",  # Hindi, ZWJ
    "Sale\u00a0%\u202f\u2009\u3000",  # spaces that do not break
    "\u200fAcme\u200e \u2067\u05d0\u2069 \u202ax\u202c",  # marks of direction
    "soft\u00adhyphen \ufeff\u2060word joiner \u180e",
    "private \ue000, unassigned \u0378",
    "\U000e0067 a tag, as in flags",
]


def is_break(character: str) -> bool:
    return unicodedata.category(character) == "Cc" or character in "\u2028\u2029"


def test_exactly_the_control_characters_and_separators_are_no_part_of_a_line() -> None:
    every = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert [one for one in every if is_one_line(f"a{one}b") == is_break(one)] == []


@given(st.text())
def test_folding_replaces_exactly_these_by_spaces(text: str) -> None:
    assert folded(text) == "".join(" " if is_break(one) else one for one in text)
    assert is_one_line(folded(text))


@pytest.mark.parametrize("text", SPELLED)
def test_names_and_senders_are_spelled_as_their_language_spells(text: str) -> None:
    for field in (Name, Reason, Label):
        assert TypeAdapter(field).validate_python(text)
    assert EmailSettings.model_validate({"fromName": text}).from_name == text


@pytest.mark.parametrize("member", ["fromName", "fromEmail", "replyTo"])
@pytest.mark.parametrize("tag", ["{{contact.rep}}", "{%if a%}", "{#a#}"])
def test_a_template_tag_in_a_sender_is_refused_and_named(member: str, tag: str) -> None:
    value = tag if member == "fromName" else f"{tag}@example.com"
    with pytest.raises(ValidationError) as refused:
        EmailSettings.model_validate({member: value})
    (error,) = refused.value.errors()
    assert error["loc"] == (member,)
    assert "template tags" in error["msg"] or "must be an email address" in error["msg"]


@given(st.text())
def test_a_composed_text_stays_as_it_is(text: str) -> None:
    assert composed(composed(text)) == composed(text) == unicodedata.normalize("NFC", text)
