-- Takes dead letters away, and out of the account they stood in; one of the loader's counts as loaded from now on.
-- Grain: one row per dead letter.
-- Reads, writes: ops.dead_letters.   Writes: action_moves.
with gone as (
    delete from ops.dead_letters where dead_letter_id = any(%(ids)s)
    returning stage, date_trunc('minute', received_at) as minute, source, event_type, event_id
), moved as (
    select minute, source, event_type, event_id, outcome, events
    from gone
    cross join lateral (values
        ('process', 'dead_lettered', -1), ('load', 'load_dead_lettered', -1), ('load', 'loaded', 1)
    ) as move (stage, outcome, events)
    where move.stage = gone.stage
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select minute, source, event_type, outcome, sum(events), coalesce(sum(events * ops.id_hash(event_id)::numeric), 0)
from moved
group by minute, source, event_type, outcome
