-- Proves: up to the segment remembered as finished, every segment of the slot is loaded and processed: the watermark
-- is not ahead of the tables.
-- Grain: one row per slot whose mark is wrong.
-- Reads: ops.finished, ops.loads, ops.processed.
-- Cost: a scan of the ledger rows of the slots seen since.
select f.spool_id, f.slot, f.segment, count(p.load_id) as processed
from ops.finished f
join ops.slots s on s.spool_id = f.spool_id and s.slot = f.slot and s.seen_at >= %(since)s
left join ops.loads l on l.spool_id = f.spool_id and l.slot = f.slot and l.segment <= f.segment
left join ops.processed p on p.load_id = l.load_id
group by f.spool_id, f.slot, f.segment
having count(p.load_id) <> f.segment
