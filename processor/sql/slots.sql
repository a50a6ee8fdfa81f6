-- How far each slot is finished, and what its watermark waits for.
-- Grain: one row per spool and slot.
-- Reads: ops.slot_progress, ops.loads, ops.processed.   Writes: nothing.
select s.spool_id, s.slot, s.last_segment, coalesce(s.finished_segment, 0), s.until,
    coalesce(s.is_final, false) or s.retired_at is not null as is_closed,
    case
        -- Also of a slot that was stopped: its receipts are ahead until their time has come.
        when s.retired_at is null and s.stamped_until > now() + interval '5 seconds' then 'clock'
        when coalesce(s.is_final, false) or s.retired_at is not null then 'nothing'
        when s.is_ahead then 'clock'
        when l.load_id is not null then 'processor'
        when later.exists then 'gap'
        else 'loader'
    end as waits_for,
    s.stamped_until
from ops.slot_progress s
left join ops.loads l
    on l.spool_id = s.spool_id and l.slot = s.slot and l.segment = coalesce(s.finished_segment, 0) + 1
left join lateral (
    select true as exists from ops.loads n
    where n.spool_id = s.spool_id and n.slot = s.slot and n.segment > coalesce(s.finished_segment, 0) + 1 limit 1
) later on true
order by 1, 2
