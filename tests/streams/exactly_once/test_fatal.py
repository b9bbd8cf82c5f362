"""What ends a worker: at once, with the code that its supervisor knows, and in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streams.errors import CampaignError, Fate
from streams.exactly_once import fatal

_ENDING = """
import logging
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
from streams.exactly_once import fatal
try:
    try:
        raise {error}
    except BaseException as error:
        fatal.end_process(error)
finally:
    print("cleaned up")  # what could acknowledge a batch that is half done
"""


def situations() -> list[type[fatal.FatalError]]:
    return [
        one
        for one in vars(fatal).values()
        if isinstance(one, type) and issubclass(one, fatal.FatalError)
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("fatal.FencedError('lost')", "Another worker has taken this partition over"),
        ("fatal.StuckRestoreError('no end')", "Reading the state topic made no progress"),
        ("KeyError('a')", "unexpected error (KeyError)"),
        ("KeyboardInterrupt()", "unexpected error (KeyboardInterrupt)"),
    ],
)
def test_a_worker_that_ends_says_why_and_cleans_nothing_up(error: str, said: str) -> None:
    program = _ENDING.replace("{error}", error)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == fatal.EXIT_CODE == 70
    assert ended.stdout == ""
    first = ended.stderr.splitlines()[0]
    assert first.startswith("CRITICAL streams.exactly_once.fatal worker ends: ")
    assert said in first
    assert error.partition("(")[0].rpartition(".")[2] in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("situation", situations(), ids=lambda one: one.__name__)
def test_every_situation_stops_the_process_and_has_its_sentence(
    situation: type[fatal.FatalError],
) -> None:
    assert issubclass(situation, CampaignError)
    assert (situation.fate, situation.status) == (Fate.STOP, 500)
    assert situation.__doc__
    assert situation.__doc__.partition("\n")[0].strip()
