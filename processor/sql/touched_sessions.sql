-- Lists the sessions this run touched, with the days their events lie on.
-- Grain: one row per source and session.
-- Reads: batch_timed, batch_repeats, batch_derived, clean.sessions.   Writes: batch_sessions.
insert into batch_sessions (source, session_id, visitor_id, first_date, last_date)
select n.source, n.session_id, min(n.visitor_id),
    least(min(n.event_date), min(ops.day_of(s.started_at))), greatest(max(n.event_date), max(ops.day_of(s.ended_at)))
from (
    select t.source, t.session_id, coalesce(t.anonymous_id, t.session_id) as visitor_id, t.event_date
    from batch_timed t
    where t.load_id = any(%(load_ids)s) and t.received_at between %(received_from)s and %(received_until)s
        and t.session_id is not null
        and not exists (select from batch_repeats b where b.part = t.part and b.tid = t.tid)
    union all
    select source, session_id, visitor_id, event_date from batch_derived
) n
left join clean.sessions s on s.source = n.source and s.session_id = n.session_id
group by n.source, n.session_id
