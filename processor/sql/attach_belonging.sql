-- Decides anew which session what only belongs to one has, where the SDK named none: for the visitors of the sessions
-- that have just been written, and of the batch's own such events. It joins the session in which its visitor was, or had
-- been for 30 minutes; else, but for an exit, which ends no visit that has not begun, the one that began within 30
-- minutes after it. A session of another customer is not its own, nor is one that began more than a day before.
-- Grain: one row per event that left or joined a session.
-- Reads: batch_sessions, batch_belonging, clean.sessions, clean.events, ops.visitor_keys.
-- Writes: clean.events (session_id only), batch_moved.
-- Safe to repeat: yes; it depends on what visitors did alone, never on what was attached, nor on the order of arrival.
with known as (
    select source, known_visitor_id as visitor_id, known_from as active_from, known_until as active_until
    from batch_sessions
    where known_visitor_id is not null
    union all
    select s.source, s.visitor_id, coalesce(s.active_from, s.started_at), coalesce(s.active_until, s.ended_at)
    from batch_sessions b
    cross join lateral (
        select * from clean.sessions s where s.source = b.source and s.session_id = b.session_id offset 0
    ) s
    union all
    select source, visitor_id, event_time, event_time from batch_belonging
), reached as materialized (
    select source, visitor_id, min(active_from) - interval '30 minutes' as reach_from,
        max(active_until) + interval '30 minutes' as reach_until
    from known
    group by source, visitor_id
), belonging as (
    select r.source, r.visitor_id, e.*
    from reached r
    cross join lateral (
        select e.event_date, e.ctid as tid, e.event_time, e.event_type, e.session_id, e.customer_id
        from clean.events e
        where e.source = r.source and e.anonymous_id = r.visitor_id and e.event_time between r.reach_from and r.reach_until
            and e.event_date between ops.day_of(r.reach_from) and ops.day_of(r.reach_until)
            and e.event_date between %(first_date)s and %(last_date)s
            and e.sdk_session_id is null and not ops.is_doing(e.event_type, e.platform)
        offset 0
    ) e
    union all
    select r.source, r.visitor_id, e.event_date, e.tid, e.event_time, e.event_type, e.session_id, e.customer_id
    from (
        select source, min(reach_from) as reach_from, max(reach_until) as reach_until from reached group by source
    ) w
    cross join lateral (
        select e.event_date, e.ctid as tid, e.event_time, e.event_type, e.session_id, e.customer_id, e.ip, e.user_agent
        from clean.events e
        where e.source = w.source and e.anonymous_id is null and e.event_time between w.reach_from and w.reach_until
            and e.event_date between ops.day_of(w.reach_from) and ops.day_of(w.reach_until)
            and e.event_date between %(first_date)s and %(last_date)s
            and e.sdk_session_id is null and not ops.is_doing(e.event_type, e.platform)
        offset 0
    ) e
    join ops.visitor_keys k on k.day = e.event_date
    join reached r on r.source = w.source
        and r.visitor_id = ops.unnamed_visitor(k.key, w.source, e.ip, e.user_agent)
        and e.event_time between r.reach_from and r.reach_until
), decided as (
    select b.*, s.session_id as right_session_id
    from belonging b
    left join lateral (
        select s.session_id
        from clean.sessions s
        cross join lateral (
            select coalesce(s.active_from, s.started_at) as active_from, coalesce(s.active_until, s.ended_at) as active_until
        ) a
        where s.source = b.source and s.visitor_id = b.visitor_id and s.is_visit
            and s.started_at between b.event_time - interval '25 hours' and b.event_time + interval '30 minutes'
            and a.active_until >= b.event_time - interval '30 minutes'
            and a.active_from between b.event_time - interval '24 hours'
                and b.event_time + case b.event_type when 'exit' then interval '0' else interval '30 minutes' end
            and (s.customer_id = b.customer_id) is not false
        order by a.active_from > b.event_time, abs(extract(epoch from a.active_from - b.event_time)), s.session_id
        limit 1
    ) s on true
), moved as (
    select * from decided where right_session_id is distinct from session_id
), written as (
    update clean.events e
    set session_id = m.right_session_id
    from moved m
    where e.event_date = m.event_date and e.ctid = m.tid and e.event_date between %(first_date)s and %(last_date)s
)
insert into batch_moved (source, session_id, event_date)
select source, session_id, event_date from moved where session_id is not null
union all
select source, right_session_id, event_date from moved where right_session_id is not null
