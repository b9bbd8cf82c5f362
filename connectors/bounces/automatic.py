"""Answers of programs: those of people who are away, and those of mail servers.

Fields: RFC 3834 (Auto-Submitted), RFC 5230 (vacation of Sieve), and those that programs had before
it: learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxcmail (X-Auto-Response-Suppress is
a wish about answers, which answers carry, too). Subjects: those that Exchange, Gmail, Notes and
vacation(1) put before the subject of what they answer, in the languages of their users.
"""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parseaddr

from connectors.bounces.mails import Mail, field

_DAEMONS = re.compile(r"(?:mailer|mail|mailserver)[-_.]?daemon|postmaster|mmdf|mailer|<>", re.ASCII)
_PROGRAMS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-AutoReply-From",
    "X-Auto-Reply-From",
    "X-Mail-Autoreply",
    "X-Vacation",
)
_PRECEDENCES = frozenset({"auto_reply", "auto-reply", "autoreply"})
_ANSWER = re.compile(r"(?:(?:re|aw|sv|vs|ref|rif|odp|ynt|antw)\s*(?:\[\d+\])?\s*:\s*)+")
_SUBJECTS = (
    # English
    *("automatic reply", "automatic response", "auto-reply", "auto reply", "autoreply", "auto:"),
    *("out of office", "out of the office", "out-of-office", "ooo:", "vacation", "on vacation"),
    *("on holiday", "on leave", "annual leave", "away from my mail", "away from the office"),
    *("i am away", "i am out of", "i'm out of", "autoresponse", "auto-response", "absence:"),
    # German, Dutch, Swedish, Danish, Norwegian, Finnish
    *("automatische antwort", "abwesenheit", "abwesend", "außer haus", "nicht im büro"),
    *("automatisch antwoord", "afwezig", "niet aanwezig"),
    *("automatiskt svar", "autosvar", "frånvaro", "automatisk svar", "ikke til stede", "fravær"),
    *("automaattinen vastaus", "poissa"),
    # French, Spanish, Italian, Portuguese, Catalan, Romanian
    *("réponse automatique", "absence du bureau", "absent du bureau", "absente du bureau"),
    *("respuesta automática", "fuera de la oficina", "ausente"),
    *("risposta automatica", "fuori sede", "fuori ufficio", "assente"),
    *("resposta automática", "fora do escritório", "ausência", "resposta automàtica"),
    *("răspuns automat",),
    # Polish, Czech, Slovak, Hungarian, Slovene, Croatian, Estonian, Latvian, Lithuanian
    *("automatyczna odpowiedź", "odpowiedź automatyczna", "autoodpowiedź", "poza biurem"),
    *("automatická odpověď", "automatická odpoveď", "automatikus válasz", "samodejni odgovor"),
    *("automatski odgovor", "automaatvastus", "automātiska atbilde", "automatinis atsakymas"),
    # Russian, Ukrainian, Bulgarian, Serbian, Greek, Turkish, Hebrew, Arabic
    *("автоматический ответ", "автоответ", "вне офиса", "автоматична відповідь"),
    *("автоматичен отговор", "аутоматски одговор", "αυτόματη απάντηση", "otomatik yanıt"),
    *("otomatik yanit",),
    *("מענה אוטומטי", "תשובה אוטומטית", "رد تلقائي"),
    # Japanese, Chinese, Korean, Vietnamese, Indonesian, Thai
    *("自動応答", "自動返信", "不在", "自动答复", "自动回复", "自動回覆", "자동 회신", "부재 중"),
    *("trả lời tự động", "balasan otomatis", "ตอบกลับอัตโนมัติ"),
)


def is_daemon(mail: Mail) -> bool:
    """Whether the mail says that a mail server has written it."""
    if field(mail.header, "X-Failed-Recipients"):  # Exim, Gmail
        return True
    name, address = parseaddr(field(mail.header, "From"))
    local = (address or name).rpartition("@")[0] or address or name
    return _DAEMONS.fullmatch(local.lower()) is not None


def is_unanswerable(mail: Mail) -> bool:
    """Whether the mail came with the null reverse-path, as all bounces do (RFC 5321, section 4.5.5)
    and all answers of programs should.
    """
    return field(mail.header, "Return-Path") == "<>"


def is_reply(mail: Mail) -> bool:
    """Whether a program has written the mail in a person's place."""
    header = mail.header
    submitted = field(header, "Auto-Submitted").lower().partition(";")[0].strip()
    if submitted not in ("", "no") or any(field(header, name) for name in _PROGRAMS):
        return True
    if field(header, "Precedence").lower() in _PRECEDENCES:
        return True
    return begins_so(_subject(mail))


def begins_so(subject: str) -> bool:
    """Whether a subject begins as those of automatic answers do."""
    text = unicodedata.normalize("NFC", subject).casefold().strip()
    return _ANSWER.sub("", text, count=1).startswith(_FOLDED)


def _subject(mail: Mail) -> str:
    written = field(mail.header, "Subject")
    try:
        return str(make_header(decode_header(written)))
    except (HeaderParseError, LookupError, ValueError):  # LookupError: a charset that is none
        return written


_FOLDED = tuple(unicodedata.normalize("NFC", one).casefold() for one in _SUBJECTS)
