-- Sets aside what was erased: the loader left its id and type alone. It is no duplicate, whatever came before.
-- Grain: one row per erased arrival.
-- Reads: raw.events.   Writes: batch_repeats, batch_counts.
with erased as (
    select tableoid as part, ctid as tid, load_id, received_at, source, event_type, event_id
    from raw.events
    where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s
        and flags @> '{erased}'
), no_repeats as (
    delete from batch_repeats b using erased e where b.part = e.part and b.tid = e.tid
), set_aside as (
    insert into batch_repeats select *, received_at, null from erased
)
insert into batch_counts (stage, run_id, minute, source, event_type, outcome, events, hash_sum)
select 'process', %(run_id)s, date_trunc('minute', received_at), source, event_type, 'erased', count(*),
    ops.hash_sum(sum(ops.id_hash(event_id)))
from erased
group by date_trunc('minute', received_at), source, event_type
