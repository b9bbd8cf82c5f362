"""An installation in which the disk of one engine fills up while campaigns are sent: `python -m
tests.faults.disk_full FOLDER SEED ENGINE`, as root in `unshare --mount`, so that the small file
system ends with the process. Prints a line of JSON with what was counted.
"""

from __future__ import annotations

import asyncio
import errno
import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from connectors.local.engines.engine import RunningEngine
from connectors.simulator.truth import TruthLog
from tests.connectors.webhooks import webhook_signing as signing
from tests.e2e.checker import SentMessage, published_on_nats, sent_messages
from tests.e2e.truth import Truth
from tests.eventually import eventually
from tests.faults.scene import Scene, Sending, Site, outcome, scene, site

_SIZE = "1g"
_REFUSALS = 5  # of each kind, before the disk is taken for full
_LATER = timedelta(minutes=1)  # so late that whoever opens a message is not taken for a machine
_PACE = 0.3  # seconds between two calls
_NO_NATS = "NATS does not take messages"


@dataclass(frozen=True)
class _Disk:
    """A file system in memory, and a file that takes all that is left of it."""

    folder: Path

    def mount(self) -> None:
        self.folder.mkdir()
        options = f"size={_SIZE},mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.folder], check=True)

    def fill(self) -> None:
        """Down to the last page; what is freed meanwhile, too, when it is repeated."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            for block in (b"\0" * (1 << 20), b"\0" * (4 << 10)):
                try:
                    while file.write(block) == len(block):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        (self.folder / "filler").unlink()


@dataclass
class _Callers:
    """A provider that reports on messages and a customer who makes campaigns; both ask again for
    whatever was refused. An answer is a success or 503 as `application/problem+json`.
    """

    client: httpx.AsyncClient
    sending: Sending
    truth: TruthLog
    refused: Counter[str] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    async def call(self, messages: Sequence[SentMessage], until: Callable[[], bool]) -> None:
        """Both at once, again and again."""
        for message in messages:
            await asyncio.gather(
                self._until_taken("report", lambda: self._report(message)),  # noqa: B023
                self._until_taken("make", self._make),
            )
            reported = message.campaign_id, message.message_id
            self.truth.add(*reported, "opened", 1, 0)
            self.truth.flush()
            if until():
                return
            await asyncio.sleep(_PACE)
        raise AssertionError("there are no more messages to report on")

    async def _until_taken(self, what: str, ask: Callable[[], Any]) -> None:
        while True:
            answer: httpx.Response = await ask()
            if answer.is_success:
                return
            kind = answer.headers.get("content-type", "")
            if (answer.status_code, kind) != (503, "application/problem+json"):
                self.violations.append(f"{what}: {answer.status_code} {answer.text[:300]}")
            self.refused[what] += 1
            await asyncio.sleep(_PACE)

    async def _report(self, message: SentMessage) -> httpx.Response:
        at = datetime.fromtimestamp(message.at, UTC) + _LATER
        event = {
            "type": "opened",
            "messageId": message.message_id,
            "timestamp": at.isoformat(),
        }
        headers, body = signing.standard([event], identity=secrets.token_hex(8))
        path = f"/webhooks/standard/{message.tenant_id}"
        return await self.client.post(path, headers=headers, content=body)

    async def _make(self) -> httpx.Response:
        body = {
            "name": "later",
            "channel": "email",
            "segmentIds": [str(self.sending.tenant.segments["all"])],
        }
        key = {"Authorization": f"Bearer {self.sending.tenant.key}"}
        answer = await self.client.post("/api/v1/campaigns", json=body, headers=key)
        if answer.is_success:
            self.made.append(answer.json()["data"]["id"])
        return answer

    async def check(self) -> None:
        """Whatever was made is there."""
        for campaign in self.made:
            await self.sending.rest("GET", f"/campaigns/{campaign}")


async def _fill_the_disk(of: Scene, disk: _Disk, engine: RunningEngine, callers: _Callers) -> None:
    """Until what depends on it is refused; then it lasts a while, and there is room again. An
    engine that has ended by then is started again, as whatever supervises it would.
    """
    logs = of.site.running.processes.folder
    seen = len((logs / "bridge.log").read_bytes())

    def is_felt() -> bool:
        match engine.engine.role:
            case "kafka":
                return callers.refused["report"] >= _REFUSALS
            case "postgres":
                return callers.refused["make"] >= _REFUSALS
            case _:
                return _NO_NATS.encode() in (logs / "bridge.log").read_bytes()[seen:]

    def fills() -> bool:
        disk.fill()
        return is_felt()

    messages = await _reportable(of)
    over = asyncio.Event()
    calling = asyncio.create_task(callers.call(messages, over.is_set))
    await eventually(fills)
    await asyncio.sleep(of.dice.uniform(1, 8))  # how long it lasts is the fault itself
    disk.free()
    await _revive(engine)
    over.set()
    await calling


async def _revive(engine: RunningEngine) -> None:
    if psutil.Process(engine.pid).status() != psutil.STATUS_ZOMBIE:
        with suppress(AssertionError):
            await eventually(engine.engine.is_ready, within=20)
            return
    sys.stderr.write(f"{engine.engine.role} is started again\n")
    engine.stop()
    engine.start(timedelta(seconds=300))


async def _reportable(of: Scene) -> list[SentMessage]:
    """Messages of the first campaign that were delivered and that nobody opens by themselves."""
    first = of.sendings[0]

    async def found() -> list[SentMessage]:
        truth = Truth.of(of.site.running.truth, first.campaign)
        quiet = truth("delivered") - truth(*truth.reported.keys() - {"delivered"})
        sent = await asyncio.to_thread(sent_messages, of.site.settings)
        chosen = [message for message in sent if message.message_id in quiet]
        assert len(chosen) >= 200
        return chosen

    return await eventually(found)


async def _published_once(of: Scene) -> bool:
    """NATS has had each message that left, and each open that counts, once."""
    seen = await published_on_nats(of.site.settings)
    for subject in ("sent", "opened"):
        found = Counter(
            event["data"]["messageId"]
            for event in seen[f"campaign.message.{subject}"]
            if not event["data"].get("isMachine", False)
        )
        repeated = [name for name, times in found.items() if times > 1]
        assert not repeated, f"{len(repeated)} of {subject} came more than once"
        expected = await asyncio.to_thread(_expected, of, subject)
        assert set(found) == expected, (
            f"{subject}: {len(expected - set(found))} are missing on NATS,"
            f" {len(set(found) - expected)} should not be there"
        )
    return True


def _expected(of: Scene, subject: str) -> set[str]:
    if subject == "sent":
        return {message.message_id for message in sent_messages(of.site.settings)}
    truths = (Truth.of(of.site.running.truth, sending.campaign) for sending in of.sendings)
    return set().union(*(truth("opened", "clicked") for truth in truths))


async def _counted(site: Site, disk: _Disk, engine: RunningEngine, seed: int) -> Mapping[str, Any]:
    async with scene(site, seed, (4_800, 600), (1_600, 200)) as of:
        sending = of.sendings[0]
        await sending.rest("PUT", "/tenant/webhooks/standard", {"secret": signing.STANDARD_SECRET})
        async with httpx.AsyncClient(base_url=site.running.url, timeout=60) as client:
            with TruthLog(site.running.truth) as truth:
                callers = _Callers(client, sending, truth)
                await _fill_the_disk(of, disk, engine, callers)
        await of.goes_on()
        found = await outcome(of)
        violations = [*callers.violations, *found.violations]
        try:
            await callers.check()
            await eventually(lambda: _published_once(of))
        except AssertionError as wrong:
            violations.append(str(wrong))
    return {
        "recipients": of.recipients,
        "events": found.events,
        "refused": callers.refused,
        "violations": violations,
    }


def main(arguments: Sequence[str]) -> None:
    folder, seed, role = Path(arguments[0]), int(arguments[1]), arguments[2]
    disk = _Disk(folder / "disk")
    disk.mount()
    with site(folder, places={role: disk.folder / role}) as made:
        engines = {engine.engine.role: engine for engine in (made.kafka, made.postgres, made.nats)}
        found = asyncio.run(_counted(made, disk, engines[role], seed))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
