-- Leaves of events that wait for the processor their ids and types alone: it will count them as erased.
-- Grain: one row per arrival.
-- Reads: leaving, ops.processed.   Writes: raw.events.
with gone as (
    delete from raw.events r using leaving l
    where r.source = l.source and r.event_id = l.event_id
        and not exists (select from ops.processed p where p.load_id = r.load_id)
    returning r.load_id, r.received_at, r.event_id, r.source, r.is_test, r.event_type
)
insert into raw.events (load_id, received_at, event_id, content_hash, time, source, is_test, event_type, flags)
select load_id, received_at, event_id, 0, 0, source, is_test, event_type, '{erased}' from gone
