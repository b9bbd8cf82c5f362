"""Processes of one installation agree: every setting that differs is named, and a rotation of keys
needs no moment at which all processes change at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.settings.agreement import (
    AgreedKey,
    Agreement,
    Standing,
    lacking,
    objections,
    refusals,
)

GONE, WITHDRAWN, IN_USE = Standing.GONE, Standing.WITHDRAWN, Standing.IN_USE


def _key(secret: str, mark: str = "") -> AgreedKey:
    standing = {"withdrawn": WITHDRAWN, "gone": GONE}.get(mark, IN_USE)
    return AgreedKey(secret, standing, signs=not mark)


def _agreement(*keys: str) -> Agreement:
    """From texts such as `0:a`, `1:b:verify`."""
    found = {}
    for text in keys:
        epoch, secret, mark = (*text.split(":"), "")[:3]
        found[int(epoch)] = _key(secret, mark)
    return Agreement("", 8, timedelta(hours=1), timedelta(days=1), "", found)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"topic_prefix": "t-"}, "CAMPAIGNS_TOPIC_PREFIX is 't-' in this process and ''"),
        ({"partitions": 1}, "CAMPAIGNS_PARTITIONS is 1 in this process and 8"),
        ({"hour": timedelta(minutes=1)}, "CAMPAIGNS_HOUR is 0:01:00"),
        ({"day": timedelta(days=2)}, "CAMPAIGNS_DAY is 2 days"),
    ],
)
def test_each_setting_that_differs_is_named(change: dict[str, object], named: str) -> None:
    agreed = _agreement("0:a")
    (said,) = refusals(replace(agreed, **change), agreed)  # type: ignore[arg-type]
    assert said.startswith(named)
    assert refusals(agreed, agreed) == lacking(agreed, agreed) == []


@pytest.mark.parametrize(
    ("own", "agreed", "said"),
    [
        (["0:a", "1:b"], ["0:a"], "key of epoch 1, which is not known here"),
        (["0:b"], ["0:a"], "another key of epoch 0"),
        (["0:a"], ["0:a", "1:b"], "lacks the key of epoch 1"),
        (["1:b"], ["0:a", "1:b"], "lacks the key of epoch 0"),
        (["1:b"], ["0:a:verify", "1:b"], "lacks the key of epoch 0"),
        (["1:b"], ["0:a:withdrawn", "1:b"], "lacks the key of epoch 0"),
        (["0:a", "1:b"], ["0:a", "1:b:verify"], "signs with epoch 1, which may only verify"),
        (["0:a", "1:b"], ["0:a:withdrawn", "1:b"], "believes the key of epoch 0, which was withd"),
        (["0:a:verify", "1:b"], ["0:a:gone", "1:b"], "epoch 0, which was taken off the list"),
        (["0:a:withdrawn", "1:b"], ["0:a:gone", "1:b"], "epoch 0, which was taken off the list"),
    ],
)
def test_a_process_with_other_keys_is_told_which(
    own: list[str], agreed: list[str], said: str
) -> None:
    (sentence,) = refusals(_agreement(*own), _agreement(*agreed))
    assert said in sentence


@pytest.mark.parametrize(
    ("own", "agreed"),
    [
        (["0:a"], ["0:a", "1:b:verify"]),  # not restarted since the announcement
        (["0:a", "1:b:verify"], ["0:a", "1:b"]),  # not yet signing
        (["0:a:withdrawn", "1:b"], ["0:a", "1:b"]),  # ahead of the withdrawal
        (["1:b"], ["0:a:gone", "1:b"]),
    ],
)
def test_a_process_one_step_of_a_rotation_behind_may_start(
    own: list[str], agreed: list[str]
) -> None:
    assert refusals(_agreement(*own), _agreement(*agreed)) == []


@pytest.mark.parametrize(
    ("new", "agreed", "in_use", "said"),
    [
        (["0:b"], ["0:a"], set(), "another key of epoch 0"),
        (["0:a", "1:b"], ["0:a", "2:c"], set(), "epoch 1 is not new, the next is 3"),
        (["1:b"], ["0:a", "1:b"], {0}, "lacks the key of epoch 0, which campaigns are being sent"),
        (["0:a", "1:b"], ["0:a:withdrawn", "1:b"], set(), "was withdrawn, for good"),
        (["0:a", "1:b"], ["0:a:gone", "1:b"], set(), "was taken off the list, for good"),
        (["0:a:withdrawn", "1:b"], ["0:a:gone", "1:b"], set(), "taken off the list, for good"),
    ],
)
def test_prepare_refuses_what_would_forge_or_forget(
    new: list[str], agreed: list[str], in_use: set[int], said: str
) -> None:
    found = objections(_agreement(*new), _agreement(*agreed), in_use)
    assert len([sentence for sentence in found if said in sentence]) == 1


def test_prepare_refuses_another_prefix_and_other_partitions_and_takes_another_hour() -> None:
    agreed = _agreement("0:a")
    for change in ({"topic_prefix": "x"}, {"partitions": 9}):
        assert len(objections(replace(agreed, **change), agreed, ())) == 1
    assert objections(replace(agreed, hour=timedelta(1), day=timedelta(2)), agreed, ()) == []


@given(st.lists(st.sampled_from(["announce", "sign", "withdraw", "drop"]), max_size=24))
def test_any_order_of_steps_that_prepare_takes_never_uses_an_epoch_twice(steps: list[str]) -> None:
    agreed, ever = _agreement("0:k0"), {0: "k0"}
    for step in steps:
        own = {epoch: key for epoch, key in agreed.keys.items() if key.standing is not GONE}
        newest = max(ever)
        if step == "announce":
            ever[newest + 1] = f"k{newest + 1}"
            own[newest + 1] = _key(ever[newest + 1], "verify")
        elif step == "sign":
            own = {e: replace(k, signs=k.standing is IN_USE) for e, k in own.items()}
        elif len(own) > 1:
            oldest = min(own)
            if step == "withdraw":
                own[oldest] = _key(ever[oldest], "withdrawn")
            else:
                del own[oldest]
        new = replace(agreed, keys=own)
        if objections(new, agreed, ()):
            continue
        agreed = new.after(agreed)
        assert {
            epoch: key.fingerprint for epoch, key in agreed.keys.items()
        }.items() <= ever.items()
        assert set(agreed.keys) >= {0}
        assert refusals(new, agreed) == []
