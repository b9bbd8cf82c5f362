"""Answers of people who are away: no bounces, whatever they say."""

from __future__ import annotations

from email.header import Header

import pytest

from connectors.bounces.automatic import begins_so
from connectors.bounces.reports import Kind, Report, read
from tests.connectors.bounces.samples import ID, PATH

# Words that a server might say, in a person's own mouth.
_TEXT = """\
I no longer work at Example. My mailbox is full, user unknown, 550 5.1.1.
Your message could not be delivered to the following recipients: ana@example.com
"""
_SUBJECTS = (
    "Automatic reply: Big Sale!",
    "Auto-Reply: Big Sale!",
    "Autoreply: Big Sale!",
    "Auto: Big Sale!",
    "Out of Office: Big Sale!",
    "Out of the office Re: Big Sale!",
    "Re: Out of Office",
    "RE: RE: Automatic reply: x",
    "Vacation reply",
    "On vacation until Monday",
    "Annual leave Re: x",
    "away from my mail",
    "Abwesenheitsnotiz: Big Sale!",
    "Automatische Antwort: Big Sale!",
    "AW: Abwesenheitsnotiz",
    "Réponse automatique : Big Sale!",
    "Absence du bureau : Big Sale!",
    "Respuesta automática: Big Sale!",
    "Fuera de la oficina: Big Sale!",
    "Risposta automatica: Big Sale!",
    "Fuori sede: Big Sale!",
    "Resposta automática: Big Sale!",
    "Resposta automàtica: Big Sale!",
    "Automatisch antwoord: Big Sale!",
    "Afwezig: Big Sale!",
    "Automatiskt svar: Big Sale!",
    "Autosvar: Big Sale!",
    "Automatisk svar: Big Sale!",
    "Automaattinen vastaus: Big Sale!",
    "Automatyczna odpowiedź: Big Sale!",
    "Odp: Odpowiedź automatyczna",
    "Automatická odpověď: Big Sale!",
    "Automatická odpoveď: Big Sale!",
    "Automatikus válasz: Big Sale!",
    "Răspuns automat: Big Sale!",
    "Automatski odgovor: Big Sale!",
    "Samodejni odgovor: Big Sale!",
    "Automaatvastus: Big Sale!",
    "Automātiska atbilde: Big Sale!",
    "Automatinis atsakymas: Big Sale!",
    "Автоматический ответ: Big Sale!",
    "Автоматична відповідь: Big Sale!",
    "Автоматичен отговор: Big Sale!",
    "Αυτόματη απάντηση: Big Sale!",
    "Otomatik Yanıt: Big Sale!",
    "מענה אוטומטי: Big Sale!",
    "رد تلقائي: Big Sale!",
    "自動応答: Big Sale!",
    "自动答复: Big Sale!",
    "自動回覆: Big Sale!",
    "자동 회신: Big Sale!",
    "Trả lời tự động: Big Sale!",
    "ตอบกลับอัตโนมัติ: Big Sale!",
)
_FIELDS = (
    "Auto-Submitted: auto-replied",
    "Auto-Submitted: auto-replied (vacation)",
    "Auto-Submitted: Auto-Replied; owner-email=ana@example.com",
    "Auto-Submitted: auto-generated",
    "Auto-submitted: auto-notified",
    "X-Autoreply: yes",
    "X-Autorespond: Big Sale!",
    "X-Autoresponder: vacation",
    "X-AutoReply-From: ana@example.com",
    "X-Mail-Autoreply: yes",
    "Precedence: auto_reply",
)


def answer(
    subject: str = "Re: Big Sale!", field: str = "X-Mailer: x", sender: str = "ana"
) -> bytes:
    lines = (f"From: Ana <{sender}@example.com>", f"To: {PATH}", f"Subject: {subject}", field)
    return ("\r\n".join(lines) + "\r\n\r\n" + _TEXT.replace("\n", "\r\n")).encode()


@pytest.mark.parametrize("subject", _SUBJECTS)
def test_a_subject_in_any_language_tells_that_somebody_is_away(subject: str) -> None:
    assert begins_so(subject)
    encoded = Header(subject, "utf-8").encode()
    for spelled in (subject, encoded.replace("\n", "\r\n"), subject.upper()):
        assert read(answer(spelled)) == Report(Kind.AUTO_REPLY, (ID,))


@pytest.mark.parametrize("field", _FIELDS)
def test_a_field_tells_that_a_program_has_answered(field: str) -> None:
    assert read(answer(field=field)) == Report(Kind.AUTO_REPLY, (ID,))


@pytest.mark.parametrize(
    "subject", ["", "Re: Big Sale!", "Thank you", "The absence of offers", "Office", "Autos"]
)
def test_other_subjects_tell_nothing(subject: str) -> None:
    assert not begins_so(subject)


def test_a_server_that_calls_its_bounce_an_automatic_reply_is_still_one() -> None:
    for sender in ("MAILER-DAEMON", "Mailer-Daemon", "postmaster", "mail-daemon"):
        found = read(answer(field="Auto-Submitted: auto-replied", sender=sender))
        assert found.kind is Kind.BOUNCE


def test_the_sentences_of_a_bounce_mean_nothing_in_a_persons_mouth() -> None:
    assert read(answer()).kind is Kind.NOTHING
    assert read(answer(field="Auto-Submitted: no")).kind is Kind.NOTHING
    assert read(answer(field="Return-Path: <ana@example.com>")).kind is Kind.NOTHING
    assert read(answer(field="Return-Path: <>")).kind is Kind.BOUNCE
