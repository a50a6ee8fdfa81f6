-- Collects the earlier events whose derived session the batch may change: those of the same visitors. A cut depends on
-- what came before it alone, so these are the sessions around the batch's events and all that follow them without 30
-- minutes of silence; of what came before the first of them only two facts matter, and these are carried in.
-- Silence is that of what the visitor did. A session's first and last event may lie up to 30 minutes outside of it: what
-- only belongs to a session prolongs none.
-- Grain: one row per event.
-- Reads: batch_derived, clean.sessions, clean.events.   Writes: batch_derived.
-- Safe to repeat: yes; what it derives depends on the events alone, not on the order of their arrival.
insert into batch_derived (
    source, visitor_id, event_id, event_time, customer_id, is_new, old_session_id, event_date,
    carried_start, carried_customer_id
)
with recursive reach as (
    select source, visitor_id, min(event_time) - interval '30 minutes' as reach_from,
        max(event_time) + interval '30 minutes' as reach_until
    from batch_derived
    group by source, visitor_id
), near as (
    select s.source, s.visitor_id, s.session_id, s.started_at, s.ended_at, s.customer_id,
        coalesce(s.active_from, s.started_at) as active_from, coalesce(s.active_until, s.ended_at) as active_until
    from reach r
    cross join lateral (
        select * from clean.sessions s
        where s.source = r.source and s.visitor_id = r.visitor_id and s.is_derived and s.is_visit
            and s.started_at <= r.reach_until and s.ended_at >= r.reach_from
        offset 0
    ) s
    union
    select s.source, s.visitor_id, s.session_id, s.started_at, s.ended_at, s.customer_id,
        coalesce(s.active_from, s.started_at), coalesce(s.active_until, s.ended_at)
    from near n
    cross join lateral (
        select * from clean.sessions s
        where s.source = n.source and s.visitor_id = n.visitor_id and s.is_derived and s.is_visit
            and s.started_at between n.active_from - interval '30 minutes' and n.active_until + interval '30 minutes'
            and coalesce(s.active_from, s.started_at) between n.active_from and n.active_until + interval '30 minutes'
        offset 0
    ) s
), earlier as (
    -- Backwards from each visitor's first collected session, through those it followed without silence.
    (
        select distinct on (source, visitor_id) source, visitor_id, session_id, active_from, customer_id, 0 as steps
        from near
        order by source, visitor_id, active_from, session_id
    )
    union all
    select e.source, e.visitor_id, p.session_id, p.active_from, p.customer_id, e.steps + 1
    from earlier e
    cross join lateral (
        -- Derived sessions last no longer than 12 hours: an earlier one is not followed without silence.
        select s.session_id, s.customer_id, coalesce(s.active_from, s.started_at) as active_from,
            coalesce(s.active_until, s.ended_at) as active_until
        from clean.sessions s
        where s.source = e.source and s.visitor_id = e.visitor_id and s.is_derived and s.is_visit
            and s.started_at between e.active_from - interval '13 hours' and e.active_from
            and (coalesce(s.active_from, s.started_at), s.session_id) < (e.active_from, e.session_id)
        order by 3 desc, 1 desc
        limit 1
    ) p
    where p.active_until >= e.active_from - interval '30 minutes'
), named as (
    select *, first_value(customer_id) over (
        partition by source, visitor_id order by customer_id is null, steps) as nearest_customer_id
    from earlier
), bounded as (
    select *, min(steps) filter (where customer_id <> nearest_customer_id) over (
        partition by source, visitor_id) as other_customer_at
    from named
), carried as (
    -- From when the 12 hours count: the customer's first session, or the first of all when no other was there.
    select source, visitor_id,
        min(active_from) filter (
            where other_customer_at is null or steps < other_customer_at and customer_id = nearest_customer_id
        ) as carried_start,
        (array_agg(customer_id order by steps) filter (where steps > 0 and customer_id is not null))[1]
            as carried_customer_id
    from bounded
    group by source, visitor_id
)
select n.source, n.visitor_id, e.event_id, e.event_time, e.customer_id, false, n.session_id, e.event_date,
    c.carried_start, c.carried_customer_id
from near n
join carried c on c.source = n.source and c.visitor_id = n.visitor_id
cross join lateral (
    select e.event_id, e.event_time, e.customer_id, e.event_date
    from clean.events e
    where e.session_id = n.session_id and e.source = n.source
        and e.event_date between ops.day_of(n.started_at) and ops.day_of(n.ended_at)
        and ops.is_doing(e.event_type, e.platform)
    offset 0
) e
