-- Moves earlier events whose derived session changed because a late event joined or began it.
-- Grain: one row per moved event.
-- Reads: batch_derived.   Writes: clean.events (session_id only).
-- Safe to repeat: yes; a row already in its session is not touched.
update clean.events e
set session_id = d.session_id
from batch_derived d
where not d.is_new and d.session_id <> d.old_session_id
    and e.session_id = d.old_session_id and e.source = d.source and e.event_id = d.event_id
    and e.event_date = d.event_date
