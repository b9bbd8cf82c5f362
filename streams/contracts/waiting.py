"""Why a campaign does not move: every reason that the `waiting` of an answer gives, and a sentence
for people about each.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

WaitingReason = Literal[
    "audience",
    "quota",
    "paused",
    "not-before",
    "ab-test",
    "running-limit",
    "dependency-down",
    "route-limit",
    "route-down",
    "warming-up",
]
# As the terminal and the dashboard (api/dashboard/app.js) show them.
WORDS: Mapping[WaitingReason, str] = MappingProxyType(
    {
        "audience": "preparing the audience",
        "quota": "waiting for quota",
        "paused": "paused",
        "not-before": "waiting for its time",
        "ab-test": "held for the A/B winner",
        "running-limit": "waiting for a free place among the running campaigns",
        "dependency-down": "waiting: a dependency is down",
        "route-limit": "waiting: its route takes no more for now",
        "route-down": "waiting: its route takes no messages",
        "warming-up": "waiting: its route is warming up",
    }
)
