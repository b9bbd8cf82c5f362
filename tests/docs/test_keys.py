"""The runbooks of docs/operate/keys.md are carried out: `prepare` takes every step, nothing has to
stop, and what the page says of old mail is true.
"""

from __future__ import annotations

import itertools
import re
import secrets
from pathlib import Path

import pytest

from streams.records.message_id import InvalidMessageIdError, MessageIds
from streams.settings import Settings
from streams.settings.agreement import Agreement, lacking
from tables.database.connection import Database
from tables.installation import installation

_PAGE = Path(__file__).parents[2] / "docs" / "operate" / "keys.md"
_STEP = re.compile(
    r"^ *CAMPAIGNS_MESSAGE_KEYS=(\S+)(?: CAMPAIGNS_ADDRESS_KEY=(\S+))? campaigns prepare$",
    re.MULTILINE,
)
OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)


def _steps() -> list[tuple[str, str]]:
    page = _PAGE.read_text().replace("OLD", OLD).replace("NEW", NEW)
    return _STEP.findall(page)


async def test_every_step_is_taken_while_processes_of_the_step_before_go_on(database: str) -> None:
    nowhere = {"kafka": "127.0.0.1:1", "nats": "nats://127.0.0.1:1", "postgres": database}
    steps = [
        Settings.model_validate({**nowhere, "message_keys": keys, "address_key": address_key})
        for keys, address_key in ((f"0:{OLD}", ""), *_steps())
    ]
    assert len(steps) == 5
    mail = MessageIds.of(steps[0]).make(1, 1, "acme", steps[0].key_epoch)
    newer = MessageIds.of(steps[2]).make(2, 1, "acme", steps[2].key_epoch)
    believed = []
    async with Database(steps[0]) as pool:
        await pool.once(lambda session: installation.write(session, steps[0]))
        for before, now in itertools.pairwise(steps):
            await pool.once(lambda session, now=now: installation.write(session, now))  # type: ignore[misc]
            assert installation.refusal(now) == ""
            agreed = await installation.present(pool)
            assert agreed is not None
            assert lacking(Agreement.of(before), agreed) == []  # it goes on until it is restarted
            # whatever either of them signs, the other believes or has withdrawn
            for signer, reader in ((before, now), (now, before)):
                ids, epoch = MessageIds.of(reader), signer.key_epoch
                assert ids.may_sign(epoch) and not ids.is_to_come(epoch)
                ids.check(MessageIds.of(signer).make(3, 3, "acme", epoch), "acme")
            believed.append(tuple(_believes(now, text) for text in (mail, newer)))
    # rotated twice, withdrawn, taken off
    assert believed == [(True, True), (True, True), (False, True), (False, True)]


def _believes(settings: Settings, message_id: str) -> bool:
    try:
        MessageIds.of(settings).check(message_id, "acme")
    except InvalidMessageIdError:
        return False
    return True


@pytest.mark.parametrize("mark", ["", ":verify", ":withdrawn"])
def test_the_page_names_every_use_of_a_key(mark: str) -> None:
    assert f"| `1:hex{mark}` |" in _PAGE.read_text()
