"""Names, senders and times as people write them: kept as they are spelled, or refused by name."""

from __future__ import annotations

import pytest

from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest


@pytest.mark.parametrize(
    "name",
    [
        "\U0001f469\u200d\U0001f4bb Launch",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0d9a\u0dca\u200d\u0dbb\u0dd3",
        "Rabatt: 20\u00a0%",
        "\u200f\u05e9\u05dc\u05d5\u05dd\u200f (x)",
        'O\u2019Hara, "Acme"; <b>',
    ],
)
async def test_names_and_senders_are_kept_as_they_are_spelled(rest: Rest, name: str) -> None:
    settings = {
        "fromName": name,
        "fromEmail": "news@b\u00fccher.example",
        "replyTo": "a@\u00fc.example",
    }
    body = rest.world.draft(name=name, channel="email", settings=settings)
    answer = await rest.admin.post("/campaigns", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()["data"]
    assert (made["name"], made["settings"]["fromName"]) == (name, name)
    assert made["settings"]["fromEmail"] == "news@xn--bcher-kva.example"
    assert made["settings"]["replyTo"] == "a@xn--tda.example"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "a\u2028b"}, "name: must be one line"),
        ({"name": "a\x0bb"}, "name: must be one line"),
        (
            {"settings": {"fromName": "{{ contact.attributes.rep }} from Acme"}},
            "settings.fromName: ",
        ),
        ({"settings": {"fromName": "{% if a %}x{% endif %}"}}, "settings.fromName: "),
        ({"settings": {"fromEmail": "{{rep}}@example.com"}}, "settings.fromEmail: "),
        ({"timezone": "localtime"}, "timezone: must be an IANA time zone"),
        ({"timezone": "right/Europe/Berlin"}, "timezone: must be an IANA time zone"),
        ({"scheduledAt": "2036-01-28T10:54:00+01:00[Europe/Berlin]"}, "zone in brackets"),
        ({"scheduledAt": "2036-01-28T10:54:00 CET"}, "what stands behind that is not read"),
    ],
)
async def test_what_would_go_wrong_later_is_refused_now(
    rest: Rest, change: dict[str, object], named: str
) -> None:
    body = {**rest.world.draft(channel="email"), **change}
    assert named in str(problem(await rest.admin.post("/campaigns", json=body), 422)["detail"])


async def test_an_offset_as_postgresql_prints_it_is_taken(rest: Rest) -> None:
    body = rest.world.draft(channel="email", scheduledAt="2036-01-28T10:54:00+02")
    answer = await rest.admin.post("/campaigns", json=body)
    assert answer.json()["data"]["scheduledAt"] == "2036-01-28T08:54:00.000Z"


async def test_a_campaign_is_found_in_either_spelling_of_its_name(rest: Rest) -> None:
    await rest.admin.post("/campaigns", json=rest.world.draft(name="Cafe\u0301 news"))
    for search in ("Caf\u00e9", "Cafe\u0301"):
        answer = await rest.admin.get("/campaigns", params={"search": search})
        assert [one["name"] for one in answer.json()["data"]] == ["Caf\u00e9 news"]
