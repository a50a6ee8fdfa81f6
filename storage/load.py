r"""The loader: one sealed segment becomes one transaction and one ledger row, or nothing at all.

Always true:

- The ledger row is written first: a second loader of the same segment blocks on its key, then fails.
- COPY's own row count is asserted before the commit. (`\.` inside COPY text ends a copy successfully and
  drops the rest; binary COPY has no such mark, and the count is the second belt.)
- A segment's name is on the disk before its ledger row is.
- A segment is released only after its commit. An unknown end of a commit is settled by asking the ledger.
- The same name with other contents is never loaded and never released.
"""

import hashlib
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from msgspec import Struct
from psycopg.types.json import Jsonb

from contract.errors import SegmentChanged, SpoolFormatError
from contract.outcome import Outcome
from storage.contents import Contents, missing
from storage.copy import copy_rows
from storage.log import SlotLog
from storage.postgres import is_passing, read_sql
from storage.rows import received_at
from storage.spool.erase import rewrite_archived
from storage.spool.folder import SegmentId, SlotFolder
from storage.spool.reader import Segment, parse_segment
from storage.spool.segment import Footer, SegmentHeader, TallyRow

log: Final = structlog.get_logger()
# SQLSTATE classes that say a row is at fault: data, constraints, limits.
_DATA_ERRORS: Final = ("22", "23", "54")


class LoadReport(Struct, frozen=True):
    """What one load did."""

    segment: SegmentId
    loaded: int
    dead_lettered: int
    damaged: int
    rejected: int


class _Miscounted(Exception):
    """The payload did not hold what the ledger row said: roll back and write it anew."""


def load_segment(connection: psycopg.Connection, folder: SlotLog, number: int) -> LoadReport | None:
    """Load one sealed segment and release it; None when it was loaded before, also by another loader just now.

    Raises psycopg.Error when the database is in the way, SpoolFormatError or SegmentChanged when the
    file is: it then stays where it is.
    """
    try:
        data = folder.read(number)
    except FileNotFoundError:
        # Only a release takes a sealed segment away. If it was anything else, its number is missing in the
        # ledger and holds the watermark.
        return None
    name = SegmentId(folder.spool_id, folder.slot, number)
    digest = hashlib.sha256(data).digest()
    if _is_loaded(connection, name, digest, SegmentHeader.unpack(data).revision):
        folder.release(number, digest)
        return None
    segment = parse_segment(data)
    header = segment.header
    if (header.spool_id, header.slot, header.segment) != (name.spool_id, name.slot, name.segment):
        raise SpoolFormatError(f"segment {name} says of itself that it is another: it was renamed or copied here")
    if segment.footer is None:
        raise SpoolFormatError(f"segment {name} is sealed but its footer is damaged: its loss must be written off")
    contents = Contents(segment)
    try:
        report = _load_patiently(connection, name, digest, contents, segment.footer)
    except psycopg.errors.UniqueViolation:
        # Another loader was faster.
        if not _is_loaded(connection, name, digest, segment.header.revision):
            raise
        report = None
    folder.release(number, digest)
    if contents.erased:
        # The archive must not keep what raw may not hold.
        if isinstance(folder, SlotFolder):
            rewrite_archived(folder, number, contents.erased)
        else:
            log.warning("erased_events_archived", segment=str(name), action="they leave with the grace period")
    return report


def _load_patiently(
    connection: psycopg.Connection, name: SegmentId, digest: bytes, contents: Contents, footer: Footer
) -> LoadReport:
    """Load, again with better figures when the first were wrong, and again without rows PostgreSQL refuses."""
    while True:
        try:
            return _load(connection, name, digest, contents, footer)
        except _Miscounted:
            continue
        except psycopg.errors.UniqueViolation:
            raise
        except psycopg.Error as error:
            # psycopg itself refuses some texts, without a SQLSTATE.
            is_data = (error.sqlstate or "").startswith(_DATA_ERRORS) or isinstance(error, psycopg.DataError)
            if is_passing(error) or not is_data:
                raise
            _ensure_partitions(connection, contents.segment)
            _find_refused(connection, contents)
            if not contents.refused:
                raise


def _is_loaded(connection: psycopg.Connection, name: SegmentId, digest: bytes, revision: int) -> bool:
    """Look into the ledger; a segment that was rewritten since has other contents and is still the one loaded."""
    found = connection.execute(
        "select content_sha256 from ops.loads where spool_id = %s and slot = %s and segment = %s",
        (name.spool_id, name.slot, name.segment),
    ).fetchone()
    if found is not None and bytes(found[0]) != digest and not revision:
        raise SegmentChanged(f"segment {name} was loaded with other contents: keep the file and find out why")
    return found is not None


def _load(
    connection: psycopg.Connection, name: SegmentId, digest: bytes, contents: Contents, footer: Footer
) -> LoadReport:
    """Do the one transaction; raise _Miscounted to do it again with better figures."""
    groups = contents.segment.groups
    readable = sum(group.header.accepted for group in groups)
    damaged = footer.accepted + footer.damaged - readable
    loaded, dead = readable - len(contents.dead), len(contents.dead)
    loaded_hash = contents.tally.total(Outcome.LOADED)[1]
    if not dead and not contents.rows:
        loaded_hash = sum(group.header.hash_sum for group in groups) % 2**64
    with connection.transaction():
        _ensure_partitions(connection, contents.segment)
        load_id = _insert_load(connection, name, digest, footer, loaded, loaded_hash, dead, damaged)
        # After the ledger row, which an erasure waits for: so none can come between.
        contents.erased = find_erased(connection, contents)
        copied = copy_rows(connection, contents.rows_to_copy(load_id))
        if (loaded, dead, loaded_hash) != (
            contents.tally.total(Outcome.LOADED)[0],
            len(contents.dead),
            contents.tally.total(Outcome.LOADED)[1],
        ):
            raise _Miscounted
        if copied != loaded:
            raise AssertionError(f"COPY stored {copied} rows of {loaded}: the transaction is rolled back")
        _insert_audit(connection, load_id, contents, footer)
        _insert_findings(connection, load_id, contents)
    if footer.received or damaged:
        log.info(
            "segment_loaded",
            slot=name.slot,
            segment=name.segment,
            loaded=loaded,
            rejected=footer.rejected,
            dead_lettered=dead,
            damaged=damaged,
        )
    return LoadReport(name, loaded, dead, damaged, footer.rejected)


def find_erased(connection: psycopg.Connection, contents: Contents) -> set[tuple[str, UUID]]:
    """Return which of the segment's events bear a tombstone; where there is no tombstone, nobody looks."""
    if connection.execute("select exists (select from ops.tombstones)").fetchone() == (False,):
        return set()
    names = list(contents.names())
    return set(
        connection.execute(
            "select source, event_id from ops.erased_among(%s, %s)",
            ([source for source, _ in names], [event_id for _, event_id in names]),
        ).fetchall()
    )


def _ensure_partitions(connection: psycopg.Connection, segment: Segment) -> None:
    """Make the Korean days on which something was accepted, ahead of the COPY.

    Those alone: where the clock jumped, the header, the groups and their batches lie years apart.
    """
    rows = segment.footer.tally if segment.footer else []
    days = {received_at(row.minute * 1_000_000) for row in rows if row.outcome == Outcome.ACCEPTED}
    connection.execute(
        "select ops.ensure_raw_partition(day) from ("
        "select distinct (moment at time zone 'Asia/Seoul')::date as day from unnest(%s::timestamptz[]) as moment"
        ") as days order by day",
        (sorted(days),),
    )


def _insert_load(
    connection: psycopg.Connection,
    name: SegmentId,
    digest: bytes,
    footer: Footer,
    loaded: int,
    loaded_hash: int,
    dead: int,
    damaged: int,
) -> int:
    row = connection.execute(
        read_sql("storage.sql", "insert_load.sql"),
        {
            "spool_id": name.spool_id,
            "slot": name.slot,
            "segment": name.segment,
            "content_sha256": digest,
            "frames": footer.frames,
            "received": footer.received,
            "rejected": footer.rejected,
            "accepted": footer.accepted + footer.damaged,
            "accepted_hash_sum": footer.hash_sum,
            "loaded": loaded,
            "loaded_hash_sum": loaded_hash,
            "dead_lettered": dead,
            "damaged": damaged,
            "until": received_at(footer.until_us),
            "final": footer.final,
            "recovered": footer.recovered,
            "torn_bytes": footer.torn_bytes,
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - `returning` returns
    return int(row[0])


def _insert_audit(connection: psycopg.Connection, load_id: int, contents: Contents, footer: Footer) -> None:
    """Write down both counts: the writer's, from the footer, and our own, from the payload."""
    rows = [("spool", load_id, *_audit_values(row)) for row in footer.tally]
    rows += [("load", load_id, *_audit_values(row)) for row in contents.tally.rows()]
    rows += [("load", load_id, *_audit_values(row)) for row in missing(footer, contents)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.audit (stage, load_id, minute, source, event_type, outcome, events, hash_sum)"
            " values (%s, %s, to_timestamp(%s), %s, %s, %s, %s, %s)",
            rows,
        )


def _audit_values(row: TallyRow) -> tuple[Any, ...]:
    return row.minute, row.source, row.event_type, row.outcome, row.events, row.hash_sum


def _insert_findings(connection: psycopg.Connection, load_id: int, contents: Contents) -> None:
    with connection.cursor() as cursor:
        if contents.rejected:
            cursor.executemany(
                "insert into ops.rejected (load_id, received_at, source, is_test, client_id, event_id, code, field,"
                " message, body) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                contents.rejected,
            )
        if contents.dead:
            cursor.executemany(
                "insert into ops.dead_letters"
                " (stage, load_id, received_at, source, event_type, event_id, reason, detail, body)"
                " values ('load', %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        load_id,
                        received_at(d.received_at_us),
                        d.source,
                        d.event_type,
                        d.event_id,
                        d.reason,
                        d.detail,
                        d.body,
                    )
                    for d in contents.dead
                ],
            )
        for (source, client_id), (report, seen_us) in sorted(contents.clients.items()):
            cursor.execute(
                read_sql("storage.sql", "upsert_client.sql"),
                {
                    "source": source,
                    "client_id": client_id,
                    "sdk": report.sdk,
                    "platform": report.platform,
                    "app_version": report.app_version,
                    "created": report.created,
                    "pending": report.pending,
                    "dropped": Jsonb(report.dropped),
                    "dropped_total": sum(report.dropped.values()),
                    "seen": received_at(seen_us),
                },
            )


def _find_refused(connection: psycopg.Connection, contents: Contents) -> None:
    """Find the rows PostgreSQL refuses, by bisection in transactions that are always rolled back."""
    contents.refused = {}
    rows = list(contents.rows_to_copy(0))
    ranges = [(0, len(rows))]
    while ranges:
        start, end = ranges.pop()
        reason = _try_copy(connection, rows[start:end])
        if reason is None:
            continue
        if end - start == 1:
            contents.refused[start] = reason
            continue
        middle = (start + end) // 2
        ranges += [(start, middle), (middle, end)]
    contents.reset()


def _try_copy(connection: psycopg.Connection, rows: list[tuple[Any, ...]]) -> str | None:
    """Return PostgreSQL's reason for refusing these rows, without any value of theirs; None when it takes them."""
    try:
        with connection.transaction(force_rollback=True):
            copy_rows(connection, rows)
    except psycopg.Error as error:
        if is_passing(error):
            raise
        return f"{error.sqlstate or 'psycopg'}: {type(error).__name__}"
    return None
