"""How often an address may be refused; which addresses are counted as one."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest

from api.limits.addresses import REFUSED_KEYS, Attempts, Patience, subscriber
from streams.errors import RateLimitedError
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest

_PATIENCE = Patience("failures", 3, timedelta(minutes=1))


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_address_has_so_many_failures_a_minute() -> None:
    clock = _Clock()
    attempts = Attempts(_PATIENCE, clock=clock)
    for _ in range(3):
        attempts.check("a")
        attempts.count("a")
    attempts.check("b")
    clock.now += 20.5
    with pytest.raises(RateLimitedError, match="limit is 3 failures in a minute; wait 40 s") as no:
        attempts.check("a")
    assert no.value.retry_after == 40
    clock.now += 39.5
    attempts.check("a")
    attempts.count("a")
    attempts.check("a")


def test_of_too_many_addresses_those_counted_longest_ago_are_forgotten() -> None:
    attempts = Attempts(_PATIENCE, limit=2, clock=_Clock())
    for name in ("a", "a", "a", "b", "c"):
        attempts.count(name)
    attempts.check("a")
    assert set(attempts._counted) == {"b", "c"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
    ],
)
def test_a_subscribers_addresses_are_one(address: str, expected: str) -> None:
    assert subscriber(ip_address(address)) == expected
    assert subscriber(None) == "None"


async def test_refused_keys_are_limited_by_address_and_a_good_key_always_passes(rest: Rest) -> None:
    wrong = {"Authorization": f"Bearer ce_live_{'0' * 16}_{'0' * 64}"}
    good, most = {"Authorization": f"Bearer {rest.keys['viewer']}"}, REFUSED_KEYS.most
    for number in range(most + 5):
        answer = await rest.nobody.get("/campaigns", headers=wrong)
        assert answer.status_code == (401 if number < most else 429), number
        if number % 16 == 0 or number >= most:
            assert (await rest.nobody.get("/campaigns", headers=good)).status_code == 200
    assert f"{most} refused API keys from one address" in str(problem(answer, 429)["detail"])
    assert 0 < int(answer.headers["retry-after"]) <= 60
    problem(await rest.nobody.get("/campaigns"), 401)  # without a key nothing was refused
    url, page = "http://api/session", {"X-Requested-With": "dashboard"}
    signed_in = await rest.nobody.post(url, json={"apiKey": rest.keys["viewer"]}, headers=page)
    assert signed_in.status_code == 200, "a program with a wrong key keeps no person out"
    assert (await rest.nobody.get("/campaigns")).status_code == 200
    ended = {"Cookie": f"campaigns_session={'x' * 43}", "Authorization": ""}
    problem(await rest.stranger.get("/campaigns", headers=ended), 401)  # a session that is over
    rest.use(settings=rest.services.settings.model_copy(update={"trusted_proxies": "127.0.0.0/8"}))
    elsewhere = {**wrong, "X-Forwarded-For": "203.0.113.9"}
    problem(await rest.nobody.get("/campaigns", headers=elsewhere), 401)


async def test_after_ten_wrong_sign_ins_an_address_waits_and_the_others_do_not(rest: Rest) -> None:
    url, page = "http://api/session", {"X-Requested-With": "dashboard"}
    wrong = {"apiKey": f"ce_live_{'0' * 16}_{'0' * 64}"}
    statuses = [
        (await rest.nobody.post(url, json=wrong, headers=page)).status_code for _ in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    right = {"apiKey": rest.keys["viewer"]}
    refused = await rest.nobody.post(url, json=right, headers=page)
    assert "10 failed sign-ins from one address" in str(problem(refused, 429)["detail"])
    assert int(refused.headers["retry-after"]) <= 60
    rest.use(settings=rest.services.settings.model_copy(update={"trusted_proxies": "127.0.0.0/8"}))
    elsewhere = {**page, "X-Forwarded-For": "203.0.113.9"}
    assert (await rest.nobody.post(url, json=right, headers=elsewhere)).status_code == 200
