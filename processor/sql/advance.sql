-- Remembers how far the slots of the run's loads are finished, so that nobody counts from the beginning again.
-- Grain: one row per slot.
-- Reads: ops.slot_progress, ops.loads.   Writes: ops.finished.
-- Safe to repeat: yes; a mark only moves on.
insert into ops.finished as known (spool_id, slot, segment)
select spool_id, slot, finished_segment
from ops.slot_progress
where finished_segment is not null
    and (spool_id, slot) in (select spool_id, slot from ops.loads where load_id = any(%(load_ids)s))
on conflict (spool_id, slot) do update set segment = excluded.segment where known.segment < excluded.segment
