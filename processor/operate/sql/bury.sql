-- Leaves a tombstone for every leaving event.
-- Grain: one row per event.
-- Reads: leaving.   Writes: ops.tombstones.
select ops.bury(coalesce(array_agg(source), '{}'), coalesce(array_agg(event_id), '{}'), %(action_id)s) from leaving
