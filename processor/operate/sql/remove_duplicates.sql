-- Removes leaving events from the list of duplicates, and moves their count.
-- Grain: one row per second arrival.
-- Reads: leaving.   Writes: ops.duplicates, action_moves.
with gone as (
    delete from ops.duplicates d using leaving l
    where d.source = l.source and d.event_id = l.event_id and d.received_at < %(until)s
    returning d.received_at, d.source, d.event_type, d.event_id
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select date_trunc('minute', received_at), source, event_type, outcome, sum(n), sum(n * ops.id_hash(event_id)::numeric)
from gone
cross join (values ('duplicate', -1), (%(outcome)s, 1)) as move (outcome, n)
group by date_trunc('minute', received_at), source, event_type, outcome
