-- Removes leaving events from the dead letters, and moves their count; one of the loader's counts as loaded, and as
-- removed from raw.events, where it never was.
-- Grain: one row per dead letter.
-- Reads: leaving.   Writes: ops.dead_letters, action_moves.
with gone as (
    delete from ops.dead_letters d using leaving l
    where d.source = l.source and d.event_id = l.event_id and d.received_at < %(until)s
    returning d.stage, d.received_at, d.source, d.event_type, d.event_id
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select date_trunc('minute', received_at), source, event_type, outcome, sum(n), sum(n * ops.id_hash(event_id)::numeric)
from gone
join (values
    ('process', 'dead_lettered', -1), ('process', %(outcome)s, 1),
    ('load', 'load_dead_lettered', -1), ('load', 'loaded', 1), ('load', 'raw_removed', 1), ('load', %(outcome)s, 1)
) as move (stage, outcome, n) using (stage)
group by date_trunc('minute', received_at), source, event_type, outcome
