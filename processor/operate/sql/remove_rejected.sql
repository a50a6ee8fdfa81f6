-- Removes a source's rejected events, and says so.
-- Grain: one row per rejected event.
-- Reads, writes: ops.rejected.   Writes: action_moves.
with gone as (
    delete from ops.rejected where source = %(source)s and received_at < %(until)s
    returning received_at, source
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select date_trunc('minute', received_at), source, '', 'rejected_removed', count(*), 0
from gone
group by date_trunc('minute', received_at), source
