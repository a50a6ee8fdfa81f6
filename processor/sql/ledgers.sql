-- Loads and runs whose own row does not say what their counts in ops.audit add up to.
-- Grain: one row per load or run, and figure, that differs.
-- Reads: ops.loads, ops.audit, ops.processed, ops.runs, ops.slots.   Writes: nothing.
with loads as (
    select load_id from ops.audit where minute >= %(from)s and minute < %(until)s and load_id is not null
    union
    select load_id from ops.loads where until >= %(from)s and until < %(until)s
), counted as (
    select load_id, min(a.minute) as minute,
        coalesce(sum(events) filter (where stage = 'spool' and outcome = 'received'), 0) as received,
        coalesce(sum(events) filter (where stage = 'spool' and outcome = 'rejected'), 0) as rejected,
        coalesce(sum(events) filter (where stage = 'spool' and outcome in ('accepted', 'damaged')), 0) as accepted,
        coalesce(sum(hash_sum) filter (where stage = 'spool' and outcome = 'accepted'), 0) as accepted_hash_sum,
        coalesce(sum(events) filter (where stage = 'load' and outcome = 'loaded'), 0) as loaded,
        coalesce(sum(hash_sum) filter (where stage = 'load' and outcome = 'loaded'), 0) as loaded_hash_sum,
        coalesce(sum(events) filter (where stage = 'load' and outcome = 'dead_lettered'), 0) as dead_lettered,
        coalesce(sum(events) filter (where stage = 'load' and outcome = 'damaged'), 0) as damaged
    from loads join ops.audit a using (load_id)
    group by load_id
), cleaned as (
    select run_id from ops.audit where minute >= %(from)s and minute < %(until)s and run_id is not null
    union
    select p.run_id from loads join ops.processed p using (load_id)
), runs as (
    select c.run_id, r.loaded, a.minute, a.events, a.hash_sum, p.ledger, p.ledger_hash_sum
    from cleaned c
    left join ops.runs r using (run_id)
    left join lateral (
        select min(minute) as minute, sum(events) as events, sum(hash_sum) as hash_sum
        from ops.audit a where a.run_id = c.run_id
    ) a on true
    left join lateral (
        select sum(l.loaded) as ledger, sum(l.loaded_hash_sum) as ledger_hash_sum, min(l.until) as until
        from ops.processed p join ops.loads l using (load_id) where p.run_id = c.run_id
    ) p on true
)
select date_trunc('minute', coalesce(c.minute, l.until)),
    'segment ' || coalesce(left(l.spool_id::text, 8) || '.' || l.slot || '.' || l.segment, '(of load ' || load_id || ')')
        || ', ' || f.figure,
    f.ledger, ops.hash_sum(f.ledger_hash_sum), f.audit, ops.hash_sum(f.audit_hash_sum)
from loads
left join ops.loads l using (load_id)
left join counted c using (load_id)
cross join lateral (values
    ('received', coalesce(l.received, 0), 0, coalesce(c.received, 0)::bigint, 0),
    ('rejected', coalesce(l.rejected, 0), 0, coalesce(c.rejected, 0)::bigint, 0),
    ('accepted', coalesce(l.accepted, 0), coalesce(l.accepted_hash_sum, 0), coalesce(c.accepted, 0)::bigint,
        coalesce(c.accepted_hash_sum, 0)),
    ('loaded', coalesce(l.loaded, 0), coalesce(l.loaded_hash_sum, 0), coalesce(c.loaded, 0)::bigint,
        coalesce(c.loaded_hash_sum, 0)),
    ('dead-lettered', coalesce(l.dead_lettered, 0), 0, coalesce(c.dead_lettered, 0)::bigint, 0),
    ('damaged', coalesce(l.damaged, 0), 0, coalesce(c.damaged, 0)::bigint, 0)
) f (figure, ledger, ledger_hash_sum, audit, audit_hash_sum)
where f.ledger <> f.audit or ops.hash_sum(f.ledger_hash_sum) <> ops.hash_sum(f.audit_hash_sum)
union all
select date_trunc('minute', coalesce(minute, %(from)s)), 'run ' || run_id,
    coalesce(case when loaded = ledger then loaded end, ledger, loaded, 0)::bigint, ops.hash_sum(ledger_hash_sum),
    coalesce(events, 0)::bigint, ops.hash_sum(hash_sum)
from runs
where coalesce(loaded, 0) <> coalesce(events, 0) or coalesce(ledger, 0) <> coalesce(events, 0)
    or ops.hash_sum(ledger_hash_sum) <> ops.hash_sum(hash_sum)
order by 1, 2
