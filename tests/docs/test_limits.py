"""The page of limits says what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from agents.delivery.lane import MOST_OPEN
from agents.delivery.outlets.settling import LONGEST_AGE
from agents.delivery.queues import LEAST_READY, MOST_BYTES, MOST_READY
from api.app import LOCK_TIMEOUT
from api.http import limits
from api.limits import addresses, connections, pace, pollers
from api.limits.slots import READS, ROOMS, Room
from connectors.bounces import mailbox, mails
from connectors.bounces.listener import Bounds
from connectors.delivery.http.client import MOST_READ
from connectors.delivery.http.exchange import LONGEST_PAUSE
from connectors.webhooks.delivery import MOST_ELEMENTS
from streams.contracts.routes import MOST_IN_BATCH
from streams.settings import Settings
from tables.campaigns.campaign import MOST_PAUSED
from tables.database.statements import LONGEST_LIST
from tables.tenants import browser_sessions as sessions
from tables.tenants.api_keys import MOST_KEYS
from tables.tenants.routes import MOST_ROUTES
from tables.tenants.sender_domains import MOST_DOMAINS
from tables.throttle.delivering import LEAST, MOST, MOST_DEFERRED

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"


def _set(name: str) -> str:
    default: Any = Settings.model_fields[name].default
    return f"`CAMPAIGNS_{name.upper()}`, {default:,}"


def _at_once(room: Room) -> str:
    of_all = "" if room is READS else f" ({room.every} of all tenants)"
    seconds = f"{room.patience.total_seconds():g} s at most"
    return f"{room.each}{of_all}" + (f"; {room.waiting} wait, {seconds}" if room.waiting else "")


def _expected() -> Iterator[tuple[str, str]]:
    yield "requests per minute of a key or user", _set("api_rate_limit")
    yield "requests per minute of a tenant", _set("api_tenant_rate_limit")
    yield "good API keys of a tenant, everywhere", f"{MOST_KEYS}"
    yield "sender domains of a tenant, everywhere", f"{MOST_DOMAINS}"
    yield "routes of a tenant, everywhere", f"{MOST_ROUTES}"
    for room in ROOMS:
        yield f"{room.work} of a tenant at once", _at_once(room)
    built_in = "of built-in delivery"
    yield f"open messages of a partition, {built_in}", f"{MOST_OPEN:,}"
    age = f"`retry.maxAge` of the route, {LONGEST_AGE / timedelta(hours=1):g} hours"
    yield f"time for which a message is tried, {built_in}", age
    memory = f"{MOST_READY}, and {LEAST_READY} beyond {MOST_BYTES:,} bytes of all campaigns"
    yield f"messages of one campaign in the memory of a partition, {built_in}", memory
    of_campaign = "messages of a built-in campaign that"
    on_their_way = f"what is settled in two seconds, {LEAST:,} at least and {MOST:,} at most"
    yield f"{of_campaign} are granted and neither settled nor put off", on_their_way
    yield f"{of_campaign} were put off", f"{MOST_DEFERRED:,}"
    batch = f"`batch` of the route, {MOST_IN_BATCH:,}"
    yield f"messages of a request to a webhook, {built_in}", batch
    yield f"answer of a provider over HTTP, {built_in}", f"{MOST_READ:,} bytes"
    asked = f"`Retry-After`, {LONGEST_PAUSE / timedelta(hours=1):g} hours"
    yield f"time that a provider may ask for, {built_in}", asked
    yield from _of_bounces()
    row = "wait of a request for a row that another one has locked"
    yield row, f"{LOCK_TIMEOUT.total_seconds():g} s"
    yield "a query of a list", f"{LONGEST_LIST:g} s"
    yield "event streams of a key or user", f"{pollers.STREAMS_PER_KEY}"
    yield "event streams of a tenant", f"{pollers.STREAMS_PER_TENANT}"
    yield "event streams", f"{pollers.STREAMS}"
    yield "running campaigns of a tenant, everywhere", _set("max_running")
    paused = f"{MOST_PAUSED}; each beyond takes the place of a running one"
    yield "paused campaigns of a tenant, everywhere", paused
    yield "recipients of a campaign", _set("max_recipients")
    yield "body of a request", f"{limits.MAX_BODY:,} bytes"
    yield "body of a file that is imported", _set("import_max_bytes")
    yield "path and query", f"{limits.MAX_ADDRESS:,} bytes"
    for_each = f"{pace.GRACE:g} s, and 1 s more for each {pace.SLOWEST:,} bytes"
    yield "time for a body", f"{for_each}; {pace.LONGEST:,.0f} s at most"
    head = f"{connections.MAX_HEAD:,} bytes in {connections.HEAD_SECONDS:g} s"
    yield "head of a request", head
    yield "time in which an answer is not read", f"{connections.STUCK_SECONDS:g} s"
    assert connections.SHARE == 4
    yield "connections", f"{_set('api_connections')}; a quarter for one address"
    yield "elements of a webhook", f"{MOST_ELEMENTS:,}"
    forged = "for a provider of a tenant or for tenants without one"
    yield f"{addresses.FORGERIES.what} in a minute", f"{addresses.FORGERIES.most}, {forged}"
    yield f"{addresses.SIGN_INS.what} in a minute", f"{addresses.SIGN_INS.most}"
    refused = addresses.REFUSED_KEYS
    yield f"{refused.what} in a minute", f"{refused.most}; good keys always pass"
    minutes = f"for {round(sessions.CODE_LIFE.total_seconds() / 60)} minutes each"
    yield "links to sign in with one key that are open", f"{sessions.MOST_CODES}, {minutes}"
    hours, days = round(sessions.IDLE.total_seconds() / 3_600), sessions.LONGEST.days
    lasting = f"for {hours} hours unused and {days} days in all"
    yield "browsers signed in with one key", f"{sessions.MOST_SESSIONS}, {lasting}"
    yield f"{addresses.UNSUBSCRIBES.what} in 10 minutes", f"{addresses.UNSUBSCRIBES.most}"
    once = "one, and one for each second in which it may be a machine's"
    yield "records of the same open or click in 10 minutes", once


def _of_bounces() -> Iterator[tuple[str, str]]:
    bounds = Bounds()
    yield "a mail that the listener of bounces takes", f"{bounds.size:,} bytes"
    yield "bytes of a mail that are read for a bounce", f"{mails.READ:,}"
    each = f"{bounds.sessions}; {bounds.sessions_of_one} of one address"
    yield "sessions with the listener of bounces, of one worker", each
    mistakes = f"{bounds.mails_of_one}; {bounds.mistakes_of_one} wrong recipients"
    yield "mails of one address to the listener in a minute", mistakes
    yield "mails read of a mailbox in one round", f"{mailbox.MOST}"


def test_the_page_of_limits_has_every_limit_of_the_code() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", _PAGE.read_text(), re.MULTILINE)
    assert rows[0] == ("what", "limit")
    assert rows[1:] == list(_expected())
