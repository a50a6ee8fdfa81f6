-- Slots with receipts ahead of the database's clock by more than clocks differ that are kept; `is_current` where the
-- newest that is loaded still is: a clock that was put right needs no more doing.
-- Grain: one row per spool and slot that is not retired, the furthest ahead first.
-- Reads: ops.slots, ops.loads.   Writes: nothing.
-- Safe to repeat: yes. A user that loads may read it too.
select s.spool_id, s.slot, a.until, now(), newest.until > now() + interval '5 seconds' as is_current
from (
    select spool_id, slot, max(until) as until
    from ops.loads
    where until > now() + interval '5 seconds'
    group by spool_id, slot
) a
join ops.slots s using (spool_id, slot)
cross join lateral (
    select l.until from ops.loads l
    where l.spool_id = a.spool_id and l.slot = a.slot
    order by l.segment desc
    limit 1
) newest
where s.retired_at is null
order by a.until desc, 1, 2
