"""SMS segments: the alphabets and sizes of 3GPP TS 23.038 and TS 23.040, against segments that are
really cut.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tables.channels import hints
from tables.sms_segments import segments

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "\f^{}\\[~]|€"
gsm = st.text(st.sampled_from(BASIC + EXTENDED), max_size=700)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def width(char: str, encoding: str) -> int:
    return (
        (2 if char in EXTENDED else 1)
        if encoding == "GSM-7"
        else len(char.encode("utf-16-be")) // 2
    )


def cut(text: str, encoding: str) -> list[str]:
    """The segments themselves, one character after the other."""
    alone, joined = (160, 153) if encoding == "GSM-7" else (70, 67)
    if sum(width(char, encoding) for char in text) <= alone:
        return [text] if text else []
    made = [""]
    for char in text:
        if sum(width(one, encoding) for one in made[-1] + char) > joined:
            made.append("")
        made[-1] += char
    return made


def test_the_alphabet_has_its_127_characters_and_10_more() -> None:
    assert (len(BASIC), len(set(BASIC)), len(EXTENDED)) == (127, 127, 10)


@given(st.one_of(gsm, anything))
@example("")
@example("€" * 80)
@example("€" * 81)
@example("a" * 152 + "€" + "a" * 10)
@example("😀" * 35)
@example("a" * 66 + "😀" + "b" * 10)
def test_segments_are_those_that_are_cut(text: str) -> None:
    found = segments(text)
    is_gsm = all(char in BASIC + EXTENDED for char in text)
    assert found.encoding == ("GSM-7" if is_gsm else "UCS-2")
    made = cut(text, found.encoding)
    assert "".join(made) == text
    assert found.parts == len(made)
    assert found.units == sum(width(char, found.encoding) for char in text)
    room = (160 if is_gsm else 70) if len(made) < 2 else (153 if is_gsm else 67)
    assert found.left == room - sum(
        width(char, found.encoding) for char in (made[-1] if made else "")
    )


@given(gsm, gsm)
def test_a_longer_text_never_takes_fewer_segments(text: str, more: str) -> None:
    assert segments(text + more).parts >= segments(text).parts
    assert segments(text + more + "ę").parts >= segments(text + more).parts


@given(gsm, st.data())
def test_what_is_left_is_free_and_one_more_is_not(text: str, data: st.DataObject) -> None:
    found = segments(text + "x")
    assert segments(text + "x" + "a" * found.left).parts == found.parts
    if found.parts > 1 or found.units + found.left == 160:
        assert segments(text + "x" + "a" * (found.left + 1)).parts == found.parts + 1


@pytest.mark.parametrize(
    ("text", "encoding", "units", "parts"),
    [
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("ą" * 70, "UCS-2", 70, 1),
        ("ą" * 71, "UCS-2", 71, 2),
        ("ą" * 134, "UCS-2", 134, 2),
        ("ą" * 135, "UCS-2", 135, 3),
        (
            "a" * 152 + "€" + "a" * 152,
            "GSM-7",
            306,
            3,
        ),  # the euro would be divided, so the first segment has 152
        ("ą" * 66 + "😀" + "a" * 66, "UCS-2", 134, 3),
        ("\uffff" * 134, "UCS-2", 134, 2),  # the last character that is one unit
        ("\U00010000" * 67, "UCS-2", 134, 3),  # the first that is two
        ("`", "UCS-2", 1, 1),
        ("ç", "UCS-2", 1, 1),
        ("Ç", "GSM-7", 1, 1),
    ],
    ids=lambda value: (
        f"{len(value)}-{value[-1]!a}"
        if isinstance(value, str) and len(value) > 10
        else ascii(value)
    ),
)
def test_segments_end_where_their_units_are_used_up(
    text: str, encoding: str, units: int, parts: int
) -> None:
    found = segments(text)
    assert (found.encoding, found.units, found.parts) == (encoding, units, parts)


def test_hints_say_what_a_message_costs_on_its_channel() -> None:
    assert hints("sms", {"text": "Hi €"}) == {
        "encoding": "GSM-7",
        "units": 5,
        "segments": 1,
        "unitsLeft": 155,
    }
    assert hints("whatsapp", {"text": "Hi €"}) == {"characters": 4, "limit": 4096}
    assert hints("push", {"title": "a", "body": "€"}) == {"bytes": 4, "limit": 4096}
    assert hints("email", {"subject": "s", "html": "<p>€</p>", "text": "x"}) == {
        "bytes": 10,
        "limit": 102_000,
    }
