-- Removes the sessions that lost all their events, and keeps the others to be rewritten.
-- Grain: one row per session.
-- Reads: batch_sessions, clean.events.   Writes: clean.sessions, batch_sessions.
with emptied as (
    delete from batch_sessions b
    where not exists (
        select from clean.events e
        where e.session_id = b.session_id and e.source = b.source and e.event_date between b.first_date and b.last_date)
    returning b.source, b.session_id
)
delete from clean.sessions s using emptied e where s.source = e.source and s.session_id = e.session_id
