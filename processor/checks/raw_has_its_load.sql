-- Proves: no raw row is without its ledger row.
-- Grain: one row per load that the ledger does not know.
-- Reads: raw.events, ops.loads.
-- Cost: a scan of the raw rows received since, grouped by load.
select r.load_id, r.rows, r.first_received_at
from (
    select load_id, count(*) as rows, min(received_at) as first_received_at
    from raw.events
    where received_at >= %(since)s
    group by load_id
) r
where not exists (select from ops.loads l where l.load_id = r.load_id)
