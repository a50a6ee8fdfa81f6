-- Lists the sessions that what belongs left or joined, with the days their events lie on.
-- Grain: one row per source and session.
-- Reads: batch_moved, clean.sessions.   Writes: batch_sessions.
insert into batch_sessions (session_no, source, session_id, visitor_id, first_date, last_date, is_known)
select row_number() over (), m.source, m.session_id, s.visitor_id,
    least(m.first_date, ops.day_of(s.started_at)), greatest(m.last_date, ops.day_of(s.ended_at)), true
from (
    select source, session_id, min(event_date) as first_date, max(event_date) as last_date
    from batch_moved
    group by source, session_id
) m
cross join lateral (
    select * from clean.sessions s where s.source = m.source and s.session_id = m.session_id offset 0
) s
