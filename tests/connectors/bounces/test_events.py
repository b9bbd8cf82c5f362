"""What follows from a mail, and for whose message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.bounces.events import meaning, owned
from connectors.bounces.reports import Kind, Report, read
from connectors.delivery.classification import Verdict
from streams.records.message_id import MessageIds
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import ID, IDS, OTHER, TENANT, complaint

_FORGED = ID[:-1] + ("0" if ID[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("name", "kind", "bounce"),
    [
        ("POSTFIX", "bounced", "hard"),
        ("POSTFIX_EXPIRED", "bounced", "soft"),
        ("EXCHANGE_FULL", "bounced", "soft"),
        ("EXCHANGE_POLICY", "failed", None),
        ("OPENSMTPD", "bounced", "soft"),
        ("QMAIL", "bounced", "hard"),
    ],
)
def test_a_bounce_is_an_event_with_the_servers_words_and_without_the_address(
    name: str, kind: str, bounce: str | None
) -> None:
    found = meaning(read(getattr(samples, name)))
    assert found is not None and found.details is not None
    assert (found.type, found.details.bounce_type) == (kind, bounce)
    assert found.details.reason and "ana@example.com" not in found.details.reason


def test_a_complaint_is_an_event() -> None:
    found = meaning(read(complaint()))
    assert found is not None and (found.type, found.details) == ("complained", None)


@pytest.mark.parametrize("kind", [Kind.DELAY, Kind.AUTO_REPLY, Kind.NOTHING])
def test_nothing_follows_from_other_mails(kind: Kind) -> None:
    assert meaning(Report(kind, (ID,))) is None


@given(st.sampled_from(Verdict), st.text(max_size=5_000))
def test_only_an_address_that_is_gone_is_suppressed(verdict: Verdict, words: str) -> None:
    found = meaning(Report(Kind.BOUNCE, (ID,), verdict, words))
    assert found is not None and found.details is not None
    assert (found.details.bounce_type == "hard") == (verdict is Verdict.HARD)
    assert 0 < len(found.details.reason or "") <= 500


def test_the_first_id_that_was_made_here_for_one_of_the_tenants_is_the_message() -> None:
    of_another = IDS.make(42, 7, "globex", 0)
    stranger = MessageIds([b"1" * 32]).make(42, 9, TENANT, 0)
    report = Report(Kind.BOUNCE, (_FORGED, stranger, of_another, OTHER, ID))
    assert owned(report, IDS, ["nobody", TENANT]) == (OTHER, TENANT)
    assert owned(report, IDS, ["globex"]) == (of_another, "globex")
    assert owned(report, IDS, ["nobody"]) is None
    assert owned(report, IDS, []) is None


def test_a_forged_bounce_is_about_no_message() -> None:
    raw = samples.POSTFIX.replace(ID.encode(), _FORGED.encode())
    report = read(raw)
    assert report.kind is Kind.BOUNCE and report.ids == (_FORGED,)
    assert owned(report, IDS, [TENANT]) is None
