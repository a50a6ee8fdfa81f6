-- Writes what an action moved into the books, dated by now.
-- Grain: one row per minute, source, event type and outcome.
-- Reads: action_moves.   Writes: ops.audit.
-- Safe to repeat: no; it is part of the action's transaction.
insert into ops.audit (stage, action_id, minute, source, event_type, outcome, events, hash_sum)
select 'operator', %(action_id)s, minute, source, event_type, outcome, sum(events)::bigint, ops.hash_sum(sum(hash_sum))
from action_moves
group by minute, source, event_type, outcome
having sum(events) <> 0 or ops.hash_sum(sum(hash_sum)) <> 0
