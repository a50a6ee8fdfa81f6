-- Records that a writer slot exists and how far its numbers go, so that the watermark waits for it.
-- Grain: one row per spool and slot.
-- Reads, writes: ops.slots.
-- Safe to repeat: yes.
insert into ops.slots as known (spool_id, slot, last_segment)
values (%(spool_id)s, %(slot)s, %(last_segment)s)
on conflict (spool_id, slot) do update set
    last_segment = greatest(known.last_segment, excluded.last_segment),
    seen_at = now(),
    -- A retired slot that is written to again is waited for again.
    retired_at = null
where known.last_segment < excluded.last_segment
