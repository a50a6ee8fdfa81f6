-- Every account of the books for a range of received_at, cell by cell: what each stage counted in its own
-- transaction, and what the tables hold now.
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
select date_trunc('minute', received_at), source, event_type, 'table.raw', count(*), ops.hash_sum(sum(ops.id_hash(event_id)))
from raw.events
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2, 3
union all
select date_trunc('minute', received_at), source, event_type, 'table.clean', count(*), ops.hash_sum(sum(ops.id_hash(event_id)))
from clean.events
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2, 3
union all
select date_trunc('minute', received_at), source, event_type, 'table.duplicates', count(*), ops.hash_sum(sum(ops.id_hash(event_id)))
from ops.duplicates
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2, 3
union all
select date_trunc('minute', received_at), source, event_type, 'table.dead_letters_' || stage, count(*),
    ops.hash_sum(sum(ops.id_hash(event_id)))
from ops.dead_letters
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2, 3, 4
union all
select date_trunc('minute', received_at), source, '', 'table.rejected', count(*), 0
from ops.rejected
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2
