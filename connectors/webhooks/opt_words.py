"""The words by which a person's own message asks for no more messages, or for messages again. The
text is used here and nowhere else.

Compared is what is left of a text after compatibility normalisation (NFKD, Unicode UAX #15) without
case and accents and everything that is no letter: `STOP 🛑`, `ｓｔｏｐ`, `Arrêt!` and `opt-out` are
each one of the words. A message that holds more than such words is a reply.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from connectors.webhooks.delivery import Wish

# CTIA, Messaging Principles and Best Practices (2023), section 5.1.3.1, and the words of 47 CFR
# 64.1200(a)(10) in force since April 2025.
_CARRIERS = "stop stopall unsubscribe cancel end quit revoke optout"
# Text of Meta's opt-out button for marketing templates, and what is near it.
_BUTTONS = (
    "stop promotions",
    "stop marketing",
    "stop messages",
    "stop all messages",
    "unsubscribe me",
)
# The words of other languages for stop and unsubscribe, as senders and carriers print them under
# their messages. No authority has a list; a tenant adds its own.
_LANGUAGES = {
    "ar": ("توقف", "إيقاف", "قف", "إلغاء", "إلغاء الاشتراك"),
    "bg": ("стоп", "отказ"),
    "ca": ("atura", "baixa"),
    "cs": ("odhlásit", "zrušit"),
    "da": ("afmeld", "frameld"),
    "de": ("stopp", "abmelden", "abmeldung", "abbestellen", "austragen"),
    "el": ("στοπ", "διαγραφή", "διακοπή"),
    "es": ("baja", "darse de baja", "parar", "alto", "cancelar", "detener", "detente", "no más"),
    "et": ("lõpeta", "loobu"),
    "fi": ("lopeta", "poista"),
    "fr": ("arrêt", "arrêter", "arrête", "arrêtez", "désabonner", "désinscrire", "désinscription"),
    "he": ("הסר", "הסרה", "עצור", "הפסק"),
    "hi": ("रोकें", "बंद", "बंद करें"),
    "hr": ("odjava", "stani"),
    "hu": ("leiratkozás", "leiratkozom", "állj"),
    "id": ("berhenti",),
    "it": ("ferma", "fermare", "disiscrivimi", "disiscriviti", "cancellami", "basta"),
    "ja": ("停止", "配信停止", "解除", "退会"),
    "ko": ("수신거부", "중지", "거부"),
    "lt": ("atsisakyti", "stabdyti"),
    "lv": ("atteikties",),
    "nl": ("afmelden", "uitschrijven", "stoppen"),
    "no": ("avmeld", "avslutt", "stans"),
    "pl": ("wypisz", "rezygnuję", "zrezygnuj"),
    "pt": ("parar", "pare", "sair", "remover", "cancelar", "descadastrar"),
    "ro": ("dezabonare", "oprește", "renunț"),
    "ru": ("стоп", "отписаться", "отписка", "отпишите"),
    "sk": ("odhlásiť", "zrušiť"),
    "sl": ("odjava",),
    "sv": ("stoppa", "avsluta", "avregistrera", "avanmäl"),
    "th": ("หยุด", "ยกเลิก"),
    "tr": ("dur", "iptal", "ret", "abonelikten çık"),
    "uk": ("стоп", "відписатися", "відписка"),
    "vi": ("dừng", "hủy", "từ chối"),
    "zh": ("退订", "退訂", "停止", "取消订阅"),
}
# Twilio's default words to opt in again, www.twilio.com/docs/messaging/tutorials/advanced-opt-out,
# without YES, which answers many other questions.
_START = ("start", "unstop")


def letters(text: str) -> str:
    """The letters of a text, without case and accents."""
    return _only_letters(_only_letters(text).casefold())  # the other case may have accents, too


def _only_letters(text: str) -> str:
    return "".join(filter(str.isalpha, unicodedata.normalize("NFKD", text)))


def _known(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(letters, words))


_STOP = _known([*_CARRIERS.split(), *_BUTTONS, *(w for one in _LANGUAGES.values() for w in one)])
_STARTS = _known(_START)


def wish(texts: Iterable[str], own: Collection[str] = ()) -> Wish | None:
    """The wish of a message with these texts: body, caption, button. One that asks to stop decides.
    `own`: the tenant's words for stop.
    """
    said, stops = list(texts), _STOP | _known(own)
    if any(_is(text, stops) for text in said):
        return Wish.STOP
    return Wish.START if any(_is(text, _STARTS) for text in said) else None


def _is(text: str, words: Collection[str]) -> bool:
    """Whether the text is one of the words or a repetition of them."""
    whole = letters(text)
    if whole in words:
        return True
    parts = [part for part in map(letters, text.split()) if part]
    return len(parts) > 1 and all(part in words for part in parts)
