-- Dead-letters second arrivals with other content and counts them: the id was reused, or somebody lies.
-- Grain: one row per conflicting arrival.
-- Reads: batch_repeats, raw.events.   Writes: ops.dead_letters, batch_counts.
with inserted as (
    insert into ops.dead_letters
        (stage, load_id, run_id, received_at, source, event_type, event_id, reason, detail, body)
    select 'process', b.load_id, %(run_id)s, b.received_at, b.source, b.event_type, b.event_id, 'id_conflict',
        'the same event_id arrived at ' || b.first_received_at || ' with other content',
        to_jsonb(r)::text
    from batch_repeats b
    join raw.events r on r.tableoid = b.part and r.ctid = b.tid
    where b.conflicts and r.load_id = any(%(load_ids)s)
        and r.received_at between %(received_from)s and %(received_until)s
    returning received_at, source, event_type, event_id
)
insert into batch_counts (stage, run_id, minute, source, event_type, outcome, events, hash_sum)
select 'process', %(run_id)s, date_trunc('minute', received_at), source, event_type, 'dead_lettered', count(*),
    ops.hash_sum(sum(ops.id_hash(event_id)))
from inserted
group by date_trunc('minute', received_at), source, event_type
