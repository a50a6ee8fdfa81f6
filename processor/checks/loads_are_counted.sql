-- Proves: each ledger row's counts and hash sums are those of its audit rows, the writer's and the loader's.
-- Grain: one row per load that says something else.
-- Reads: ops.loads, ops.audit.
-- Cost: a scan of the audit rows counted since.
with counted as (
    select load_id,
        coalesce(sum(events) filter (where stage = 'spool' and outcome = 'received'), 0) as received,
        coalesce(sum(events) filter (where stage = 'spool' and outcome = 'rejected'), 0) as rejected,
        coalesce(sum(events) filter (where stage = 'spool' and outcome in ('accepted', 'damaged')), 0) as accepted,
        coalesce(sum(events) filter (where stage = 'load' and outcome = 'loaded'), 0) as loaded,
        ops.hash_sum(sum(hash_sum) filter (where stage = 'load' and outcome = 'loaded')) as loaded_hash_sum,
        coalesce(sum(events) filter (where stage = 'load' and outcome = 'dead_lettered'), 0) as dead_lettered,
        coalesce(sum(events) filter (where stage = 'load' and outcome = 'damaged'), 0) as damaged
    from ops.audit
    where load_id is not null and stage in ('spool', 'load') and counted_at >= %(since)s
    group by load_id
)
select l.load_id, l.received, l.rejected, l.accepted, l.loaded, l.dead_lettered, l.damaged, c.received as counted_received,
    c.rejected as counted_rejected, c.accepted as counted_accepted, c.loaded as counted_loaded,
    c.dead_lettered as counted_dead_lettered, c.damaged as counted_damaged
from ops.loads l
left join counted c on c.load_id = l.load_id
where l.loaded_at >= %(since)s
    and (l.received, l.rejected, l.accepted, l.loaded, l.loaded_hash_sum, l.dead_lettered, l.damaged) is distinct from (
        coalesce(c.received, 0), coalesce(c.rejected, 0), coalesce(c.accepted, 0), coalesce(c.loaded, 0),
        coalesce(c.loaded_hash_sum, 0), coalesce(c.dead_lettered, 0), coalesce(c.damaged, 0))
