-- Keeps the names of dead letters that are given up, and counts them as discarded. A row that was never loaded is
-- told as one removed from raw.events.
-- Grain: one row per dead letter.
-- Reads: ops.dead_letters.   Writes: ops.discarded, action_moves.
with kept as (
    insert into ops.discarded
        (dead_letter_id, action_id, stage, load_id, received_at, source, event_type, event_id, reason)
    select dead_letter_id, %(action_id)s, stage, load_id, received_at, source, event_type, event_id, reason
    from ops.dead_letters where dead_letter_id = any(%(ids)s)
    returning stage, date_trunc('minute', received_at) as minute, source, event_type, event_id
), moved as (
    select minute, source, event_type, event_id, outcome
    from kept
    cross join lateral (values
        ('process', 'discarded'), ('load', 'discarded'), ('load', 'raw_removed')
    ) as move (stage, outcome)
    where move.stage = kept.stage
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select minute, source, event_type, outcome, count(*), coalesce(sum(ops.id_hash(event_id)::numeric), 0)
from moved
group by minute, source, event_type, outcome
