"""The words by which people ask to stop and to start again, in whatever shape they write them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhooks.delivery import Wish
from connectors.webhooks.opt_words import letters, wish

_STOPS = [
    *("STOP", "stop", " Stop! ", "STOPALL", "Unsubscribe", "cancel", "END", "quit.", "revoke"),
    *("Opt out", "OPT-OUT", "opt.out", "STOP 🛑", "🛑 stop 🛑", "ｓｔｏｐ", "ＳＴＯＰ！", "*STOP*"),
    *(
        "Stop promotions",
        "STOP MARKETING",
        "stop stop STOP",
        "S.T.O.P.",
        "STOP 12345",
        "st\u00adop",
    ),
    *("ARRÊT", "arret", "ARRE\u0302T", "Arrêter", "STOPP", "Abmelden", "BAJA", "darse de baja"),
    *("PARAR", "no más", "SAIR", "АБВ".replace("АБВ", "СТОП"), "отписаться", "ΣΤΟΠ", "Διαγραφή"),
    *("הסר", "إيقاف", "停止", "退订", "수신거부", "बंद करें", "İPTAL", "ret", "dừng", "HỦY"),
    *("Desinscrire", "odjava", "leiratkozás", "wypisz", "afmelden", "avsluta", "lopeta"),
]
_NOT = [
    *("", " ", "🛑", "12345", "please stop", "STOP IT", "don't stop", "the end", "stop by at 5?"),
    *("When does it stop?", "I will not cancel", "Ｓ-STOP", "stopper", "yes", "x" * 10_000),
    *("bus stop", "The End of the Road", "stop\u200bping", "non", "Bajada", "para rato"),
]


@pytest.mark.parametrize("text", _STOPS)
def test_a_word_for_stop_is_one_in_any_language_and_shape(text: str) -> None:
    assert wish([text]) is Wish.STOP


@pytest.mark.parametrize("text", _NOT)
def test_what_holds_more_than_such_words_is_a_reply(text: str) -> None:
    assert wish([text]) is None


@pytest.mark.parametrize("text", ["START", "start!", "Unstop", "ｓｔａｒｔ", "Start 🙂", "un-stop"])
def test_a_word_for_start_asks_for_messages_again(text: str) -> None:
    assert wish([text]) is Wish.START


_NO_LETTERS = st.text(st.characters(exclude_categories=["L"]), max_size=8).filter(
    lambda text: not any(map(str.isalpha, unicodedata.normalize("NFKD", text)))
)


@given(st.sampled_from(_STOPS), _NO_LETTERS, _NO_LETTERS)
def test_what_is_no_letter_changes_nothing(word: str, before: str, after: str) -> None:
    for text in (word, word.upper(), word.lower(), unicodedata.normalize("NFD", word)):
        assert wish([before + text + after]) is Wish.STOP


@given(st.sampled_from(_STOPS), st.text(max_size=20), st.text(max_size=20))
def test_of_several_texts_one_is_enough(word: str, before: str, after: str) -> None:
    assert wish([before, word, after]) is Wish.STOP


@pytest.mark.parametrize("text", ["Genug!", "GENUG", "Keine Werbung", "keine-werbung"])
def test_a_tenant_has_words_of_its_own(text: str) -> None:
    assert wish([text]) is None
    assert wish([text], ["genug", "keine Werbung"]) is Wish.STOP
    assert wish(["STOP"], ["genug"]) is Wish.STOP


@given(st.text(max_size=50))
def test_letters_are_the_same_however_a_text_is_composed(text: str) -> None:
    found = letters(text)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert letters(unicodedata.normalize(form, text)) == found
    assert letters(found) == found
