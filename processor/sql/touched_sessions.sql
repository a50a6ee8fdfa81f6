-- Lists the sessions this run touched, those that lost events to another one too, with the days their events lie on.
-- Grain: one row per source and session.
-- Reads: batch_written, batch_derived, clean.sessions.   Writes: batch_sessions.
insert into batch_sessions (
    session_no, source, session_id, visitor_id, first_date, last_date, is_known, known_visitor_id, known_from, known_until
)
select row_number() over (), n.source, n.session_id, n.visitor_id,
    least(n.first_date, ops.day_of(s.started_at)), greatest(n.last_date, ops.day_of(s.ended_at)), s.started_at is not null,
    s.visitor_id, coalesce(s.active_from, s.started_at), coalesce(s.active_until, s.ended_at)
from (
    select source, session_id, min(visitor_id) as visitor_id, min(event_date) as first_date, max(event_date) as last_date
    from (
        select source, session_id, null as visitor_id, event_date from batch_written where session_id is not null
        union all
        select source, session_id, visitor_id, event_date from batch_derived
        union all
        select source, old_session_id, visitor_id, event_date from batch_derived where session_id <> old_session_id
    ) events
    group by source, session_id
) n
-- Here and below `offset 0` holds the planner to one probe a session, whatever it believes of the table's size.
left join lateral (
    select s.started_at, s.ended_at, s.visitor_id, s.active_from, s.active_until from clean.sessions s
    where s.source = n.source and s.session_id = n.session_id
    offset 0
) s on true
