-- Proves: no segment is missing before one that is loaded: each slot's numbers begin at 1 and have no hole.
-- Grain: one row per hole.
-- Reads: ops.loads.
-- Cost: a scan of the ledger, sorted by slot.
-- A segment that cannot be loaded is such a hole, and holds the watermark.
select spool_id, slot, previous + 1 as missing_from, segment - 1 as missing_until
from (
    select spool_id, slot, segment, loaded_at,
        lag(segment, 1, 0::bigint) over (partition by spool_id, slot order by segment) as previous
    from ops.loads
) numbered
where segment <> previous + 1 and loaded_at >= %(since)s
