-- Lists the duplicates and counts what was listed.
-- Grain: one row per second arrival with the same content.
-- Reads: batch_repeats.   Writes: ops.duplicates, batch_counts.
with inserted as (
    insert into ops.duplicates (run_id, load_id, received_at, source, event_type, event_id, first_received_at)
    select %(run_id)s, load_id, received_at, source, event_type, event_id, first_received_at
    from batch_repeats where not conflicts
    returning received_at, source, event_type, event_id
)
insert into batch_counts (stage, run_id, minute, source, event_type, outcome, events, hash_sum)
select 'process', %(run_id)s, date_trunc('minute', received_at), source, event_type, 'duplicate', count(*),
    ops.hash_sum(sum(ops.id_hash(event_id)))
from inserted
group by date_trunc('minute', received_at), source, event_type
