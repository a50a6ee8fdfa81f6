-- Proves: a load waits for the processor exactly as long as no run has claimed it.
-- Grain: one row per load that waits and should not, or should and does not.
-- Reads: ops.loads, ops.processed, ops.waiting.
-- Cost: a scan of the ledger rows loaded since.
select l.load_id, l.spool_id, l.slot, l.segment, p.run_id, w.load_id is not null as waits
from ops.loads l
left join ops.processed p on p.load_id = l.load_id
left join ops.waiting w on w.load_id = l.load_id
where l.loaded_at >= %(since)s
    and ((p.load_id is null) <> (w.load_id is not null) or w.loaded <> l.loaded)
