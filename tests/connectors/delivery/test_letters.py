"""The parts of an email, as providers over HTTP get them."""

from __future__ import annotations

from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.delivery.letters import UnsendableError, letter
from tests.connectors.delivery.providers.given import email


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "news@acme.example"),
        ("Acme", "Acme <news@acme.example>"),
        ("Bücher & mehr", "Bücher & mehr <news@acme.example>"),
        ("Acme, Inc.", '"Acme, Inc." <news@acme.example>'),
        ('The "Shop"', '"The \\"Shop\\"" <news@acme.example>'),
        ("<evil@x.example>", '"<evil@x.example>" <news@acme.example>'),
    ],
)
def test_the_sender_has_its_name_in_quotation_marks_where_it_needs_them(
    name: str, shown: str
) -> None:
    made = letter(email(sender={"email": "news@acme.example", "name": name}))
    assert made.sender_with_name == shown
    assert parseaddr(shown)[1] == "news@acme.example"


@given(st.text(max_size=60))
def test_no_name_becomes_another_address_or_another_field(name: str) -> None:
    made = letter(email(sender={"email": "news@acme.example", "name": name}))
    assert parseaddr(made.sender_with_name)[1] == "news@acme.example"
    assert "\n" not in made.sender_with_name and "\r" not in made.sender_with_name


def test_fields_are_one_line_and_none_that_the_provider_writes_itself() -> None:
    headers = {
        "List-Unsubscribe": "<https://acme.example/u>\r\nBcc: all@example.com",
        "Subject": "Another",
        "bcc": "all@example.com",
        "Content-Type": "text/x",
        "MIME-Version": "2",
        "A b": "no name of a field",
        "X-Campaign": "autumn",
    }
    made = letter(email(headers=headers, content={"subject": "One\nline", "text": "Hello"}))
    assert made.subject == "One line" and made.html == ""
    assert made.headers == {
        "List-Unsubscribe": "<https://acme.example/u>  Bcc: all@example.com",
        "X-Campaign": "autumn",
    }
    whose = letter(email(tenant_id="bookshop", headers=None)).headers
    assert whose == {"Feedback-ID": "0190a000-0000-7000-8000-000000000001:campaign:bookshop"}


def test_a_message_that_is_no_email_is_refused() -> None:
    for wrong in (
        email(channel="sms"),
        email(sender=None),
        email(sender={"name": "Acme"}),
        email(content={"subject": "Hello"}),
    ):
        with pytest.raises(UnsendableError):
            letter(wrong)
