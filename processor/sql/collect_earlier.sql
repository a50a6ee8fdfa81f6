-- Collects the earlier events whose derived session the batch may change: those of the same visitors. A cut depends on
-- what came before it alone, so these are the sessions around the batch's events and all that follow them without 30
-- minutes of silence; of what came before the first of them only two facts matter, and these are carried in.
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
    select s.source, s.visitor_id, s.session_id, s.started_at, s.ended_at, s.customer_id
    from clean.sessions s
    join reach using (source, visitor_id)
    where s.is_derived and s.started_at <= reach.reach_until and s.ended_at >= reach.reach_from
    union
    select s.source, s.visitor_id, s.session_id, s.started_at, s.ended_at, s.customer_id
    from near n
    join clean.sessions s on s.source = n.source and s.visitor_id = n.visitor_id and s.is_derived
        and s.started_at between n.started_at and n.ended_at + interval '30 minutes'
), earlier as (
    -- Backwards from each visitor's first collected session, through those it followed without silence.
    (
        select distinct on (source, visitor_id) source, visitor_id, session_id, started_at, customer_id, 0 as steps
        from near
        order by source, visitor_id, started_at, session_id
    )
    union all
    select e.source, e.visitor_id, p.session_id, p.started_at, p.customer_id, e.steps + 1
    from earlier e
    cross join lateral (
        select s.session_id, s.started_at, s.ended_at, s.customer_id
        from clean.sessions s
        where s.source = e.source and s.visitor_id = e.visitor_id and s.is_derived
            and s.started_at <= e.started_at and (s.started_at, s.session_id) < (e.started_at, e.session_id)
        order by s.started_at desc, s.session_id desc
        limit 1
    ) p
    where p.ended_at >= e.started_at - interval '30 minutes'
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
        min(started_at) filter (
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
    offset 0
) e
