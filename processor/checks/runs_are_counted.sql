-- Proves: each run accounts for every event of the loads it claimed, with one outcome and the ids' hash sums.
-- Grain: one row per run whose sums differ.
-- Reads: ops.runs, ops.processed, ops.loads, ops.audit.
-- Cost: a scan of the runs and of the audit rows since.
with claimed as (
    select p.run_id, count(*) as loads, sum(l.loaded) as loaded, ops.hash_sum(sum(l.loaded_hash_sum)) as hash_sum
    from ops.processed p
    join ops.loads l using (load_id)
    join ops.runs r using (run_id)
    where r.started_at >= %(since)s
    group by p.run_id
), counted as (
    select run_id, sum(events) as events, ops.hash_sum(sum(hash_sum)) as hash_sum
    from ops.audit
    where stage = 'process' and counted_at >= %(since)s
    group by run_id
)
select r.run_id, r.loads, r.loaded, c.loads as claimed_loads, c.loaded as claimed_events, a.events as counted_events
from ops.runs r
left join claimed c on c.run_id = r.run_id
left join counted a on a.run_id = r.run_id
where r.started_at >= %(since)s
    -- What has neither claims nor counts of the processor's is an operator's run, counted by its own movements.
    and (c.run_id is not null or a.run_id is not null)
    and (
        (r.loads, r.loaded) is distinct from (coalesce(c.loads, 0), coalesce(c.loaded, 0))
        or (coalesce(c.loaded, 0), coalesce(c.hash_sum, 0)) is distinct from (coalesce(a.events, 0), coalesce(a.hash_sum, 0))
    )
