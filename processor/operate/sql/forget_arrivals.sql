-- Forgets when leaving events arrived first: a tombstone speaks for them from now on, or nothing.
-- Grain: one row per event.
-- Reads: leaving.   Writes: ops.dedup.
delete from ops.dedup d using leaving l
where d.event_id = l.event_id and d.source = l.source and d.received_at < %(until)s
