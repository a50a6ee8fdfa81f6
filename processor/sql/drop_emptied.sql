-- Removes touched sessions that have no event any more: derived ones that lost them all to another.
-- Grain: one row per session.
-- Reads: batch_sessions, batch_pages.   Writes: clean.sessions.
delete from clean.sessions s
using batch_sessions b
where b.is_known and s.source = b.source and s.session_id = b.session_id
    and not exists (select from batch_pages p where p.session_no = b.session_no)
