"""The blocks of the ledger: partitions of `campaign_recipients` with 1,000 campaign numbers each.

A block is made as a plain table and attached, in one transaction (`ensure_recipient_block` in
migration 0014): that waits behind no reader and no writer of the ledger. Identity: the block's
number; two processes that make it at once wait for each other, and the second finds it. Blocks are
made ahead, so that starting a campaign makes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from tables.database.connection import Session
from tables.database.driver import DriverConnection

BLOCK = 1000  # campaign numbers
AHEAD = 20  # blocks; at one campaign a second they last five hours
# A database restored from a backup goes on at a higher number than its newest row has.
_MISSING = f"""
SELECT min(block)
  FROM (SELECT greatest(
                 (SELECT coalesce(max(number), 0) FROM campaigns),
                 coalesce(pg_sequence_last_value(
                   pg_get_serial_sequence('campaigns', 'number')::regclass), 0)
               ) / {BLOCK} AS newest) AS here,
       generate_series(newest, newest + %(ahead)s) AS block
 WHERE to_regclass('campaign_recipients_' || block) IS NULL"""
# The newest block is never over, nor are those made ahead of it. A campaign that may still be
# started counts as not over, however old it is; a deleted draft is over.
_OVER = f"""
SELECT t.relname AS name, i.inhrelid IS NOT NULL AS is_attached,
       coalesce(i.inhdetachpending, false) AS is_leaving
  FROM pg_class t
       LEFT JOIN pg_inherits i ON i.inhrelid = t.oid
       CROSS JOIN LATERAL (SELECT substr(t.relname, 21)::bigint AS block) AS b
 WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace
   AND t.relname ~ '^campaign_recipients_[0-9]{{1,12}}$'
   AND NOT EXISTS (
       SELECT FROM campaigns c
        WHERE c.number BETWEEN b.block * {BLOCK} AND b.block * {BLOCK} + {BLOCK - 1}
          AND (c.updated_at > %(before)s
               OR c.status NOT IN ('completed', 'cancelled') AND c.deleted_at IS NULL))
   AND b.block < (SELECT max(number) / {BLOCK} FROM campaigns)
 ORDER BY b.block LIMIT 1"""


async def make_ahead(session: Session, ahead: int = AHEAD) -> int | None:
    """Make the first block that is missing among the next ones; its number, None when all are
    there. Raises DependencyDownError when another session has held a lock for a second: later,
    then.
    """
    block: int | None = await session.value(_MISSING, ahead=ahead)
    if block is not None:
        await session.run("SELECT ensure_recipient_block(%(block)s)", block=block)
    return block


@dataclass(frozen=True)
class OldBlock:
    """A block that may go. `is_attached`: it is still a partition; `is_leaving`: it was being
    detached when a process was killed.
    """

    name: str
    is_attached: bool
    is_leaving: bool


async def oldest_over(session: Session, before: datetime) -> OldBlock | None:
    """The oldest block all of whose campaigns have been over since `before`; None without one."""
    found = await session.rows(OldBlock, _OVER, before=before)
    return found[0] if found else None


async def drop(connection: DriverConnection, block: OldBlock) -> None:
    """Detach the block without a lock that readers or writers of the ledger would notice, then drop
    it, with the rows of its recipients. The connection commits each statement by itself. Killed in
    between, the block is found again by `oldest_over`.
    """
    ledger = sql.SQL("ALTER TABLE campaign_recipients DETACH PARTITION {} ")
    name = sql.Identifier(block.name)
    if block.is_attached:
        how = sql.SQL("FINALIZE" if block.is_leaving else "CONCURRENTLY")
        await connection.execute(ledger.format(name) + how)
    await connection.execute(sql.SQL("DROP TABLE {}").format(name))
