"""The spellings of one phone number: in three countries a mobile number is written in two ways, and
a provider may report the other one than the contact has.

- Mexico gave up the 1 after +52 in August 2019; WhatsApp still reports `521…`.
- Brazil put a 9 before mobile numbers (Anatel, complete since November 2016); older WhatsApp
  accounts are reported without it.
- Argentina's mobile numbers have a 9 after +54 when they are called from abroad, and none within
  the country; address books have both.

Sources: libphonenumber's FAQ on Argentina and Mexico
(https://github.com/google/libphonenumber/blob/master/FAQ.md), Gupshup on WhatsApp ids in Brazil and
Mexico (https://support.gupshup.io/hc/en-us/articles/4407840924953). SQL has the same rules as
`number_key` and `number_spellings` (migration 0013); a test compares them.
"""

from __future__ import annotations

_MEXICO_OLD, _MEXICO = "+521", "+52"
_ARGENTINA_MOBILE, _ARGENTINA = "+549", "+54"
_BRAZIL = "+55"
_SUBSCRIBER = 10  # digits of a national number in Mexico and Argentina
MOST_BEGINNINGS = 3
_MOBILE = frozenset("6789")  # first digits of Brazil's eight-digit mobile numbers


def canonical(number: str) -> str:
    """The spelling in which a number (E.164) is kept and written to: Mexico without the old 1,
    Brazil's mobile numbers with the ninth digit. Argentina's 9 stays, since only with it a mobile
    phone can be reached from abroad.
    """
    if number.startswith(_MEXICO_OLD) and len(number) == len(_MEXICO_OLD) + _SUBSCRIBER:
        return _MEXICO + number[len(_MEXICO_OLD) :]
    # country, area code of two digits, eight digits
    if number.startswith(_BRAZIL) and len(number) == 13 and number[5] in _MOBILE:
        return f"{number[:5]}9{number[5:]}"
    return number


def number_key(number: str) -> str:
    """The spelling in which numbers are compared: the canonical one, and Argentina's without the
    9. Suppressions have it.
    """
    number = canonical(number)
    if number.startswith(_ARGENTINA_MOBILE) and len(number) == len(_ARGENTINA_MOBILE) + _SUBSCRIBER:
        return _ARGENTINA + number[len(_ARGENTINA_MOBILE) :]
    return number


def beginnings(number: str) -> tuple[str, ...]:
    """The beginnings of stored numbers that a search for the beginning of a number looks for: this
    one and, where its digits tell the country, other spellings; at most `MOST_BEGINNINGS`.
    """
    found = [number]
    for old, new in ((_MEXICO_OLD, _MEXICO), (_ARGENTINA_MOBILE, _ARGENTINA)):
        if number.startswith(old):
            found.append(new + number[len(old) :])
        elif number.startswith(new):
            found.append(old + number[len(new) :])
    if number.startswith(_BRAZIL) and number[5:6] in _MOBILE:
        found.append(f"{number[:5]}9{number[5:]}")
        if number[5] == "9":  # the ninth digit, or the first of eight
            found.append(number[:5] + number[6:])
    return tuple(found)
