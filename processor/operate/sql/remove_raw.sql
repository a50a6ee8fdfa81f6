-- Removes leaving events that are processed from raw, and says so.
-- Grain: one row per arrival.
-- Reads: leaving, ops.processed.   Writes: raw.events, action_moves.
with gone as (
    delete from raw.events r using leaving l
    where r.source = l.source and r.event_id = l.event_id and r.received_at < %(until)s
        and exists (select from ops.processed p where p.load_id = r.load_id)
    returning r.received_at, r.source, r.event_type, r.event_id
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select date_trunc('minute', received_at), source, event_type, 'raw_removed', count(*), sum(ops.id_hash(event_id)::numeric)
from gone
group by date_trunc('minute', received_at), source, event_type
