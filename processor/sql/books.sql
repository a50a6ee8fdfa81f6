-- Every account of the books for a range of received_at, cell by cell: what each stage counted in its own
-- transaction (`stage.outcome`), and what the tables hold now (`table.…`). `check.…` sums PostgreSQL's own hash of
-- the ids instead of their low 64 bits: rows that were exchanged so that the first sums agree differ in the second.
-- Grain: one row per minute, source, event type and account.
-- Reads: ops.*, raw.events, clean.events.   Writes: nothing.
select date_trunc('minute', minute), source, event_type, stage || '.' || outcome as account,
    sum(events)::bigint, ops.hash_sum(sum(hash_sum))
from ops.audit
where minute >= %(from)s and minute < %(until)s
group by 1, 2, 3, 4
union all
select a.minute, a.source, a.event_type, 'pending', sum(a.events)::bigint, ops.hash_sum(sum(a.hash_sum))
from ops.audit a
where a.minute >= %(from)s and a.minute < %(until)s and a.stage = 'load' and a.outcome = 'loaded'
    and not exists (select from ops.processed p where p.load_id = a.load_id)
group by 1, 2, 3
union all
select t.minute, t.source, t.event_type, sums.kind || t.name, t.events, sums.total
from (
    select date_trunc('minute', received_at) as minute, source, event_type, 'raw' as name, count(*) as events,
        ops.hash_sum(sum(ops.id_hash(event_id))) as hash_sum,
        ops.hash_sum(sum(uuid_hash_extended(event_id, 0))) as check_sum
    from raw.events
    where received_at >= %(from)s and received_at < %(until)s
    group by 1, 2, 3
    union all
    select date_trunc('minute', received_at), source, event_type, 'clean', count(*),
        ops.hash_sum(sum(ops.id_hash(event_id))), ops.hash_sum(sum(uuid_hash_extended(event_id, 0)))
    from clean.events
    where received_at >= %(from)s and received_at < %(until)s
    group by 1, 2, 3
    union all
    select date_trunc('minute', received_at), source, event_type, 'duplicates', count(*),
        ops.hash_sum(sum(ops.id_hash(event_id))), ops.hash_sum(sum(uuid_hash_extended(event_id, 0)))
    from ops.duplicates
    where received_at >= %(from)s and received_at < %(until)s
    group by 1, 2, 3
    union all
    select date_trunc('minute', received_at), source, event_type, 'dead_letters_' || stage, count(*),
        ops.hash_sum(sum(ops.id_hash(event_id))), ops.hash_sum(sum(uuid_hash_extended(event_id, 0)))
    from ops.dead_letters
    where received_at >= %(from)s and received_at < %(until)s
    group by 1, 2, 3, 4
) t
cross join lateral (values ('table.', hash_sum), ('check.', check_sum)) as sums (kind, total)
union all
-- Rows that wait for the processor: almost always none.
select date_trunc('minute', r.received_at), r.source, r.event_type, 'check.waiting', count(*),
    ops.hash_sum(sum(uuid_hash_extended(r.event_id, 0)))
from raw.events r
where r.received_at >= %(from)s and r.received_at < %(until)s
    and r.load_id in (
        select l.load_id from ops.loads l where not exists (select from ops.processed p where p.load_id = l.load_id)
    )
group by 1, 2, 3
union all
select date_trunc('minute', received_at), source, '', 'table.rejected', count(*), 0
from ops.rejected
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2
