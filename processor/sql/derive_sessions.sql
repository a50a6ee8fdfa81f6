-- Collects the events whose session is to be derived: the batch's own without an SDK session, and those of
-- the same visitors' derived sessions which they may change. A cut depends on what came before it alone, so
-- these are the sessions around the batch's events and all that follow them without 30 minutes of silence;
-- of what came before the first of them only two facts matter, and these are carried in.
-- Grain: one row per event.
-- Reads: batch_timed, batch_repeats, clean.sessions, clean.events, ops.visitor_keys.   Writes: batch_derived.
-- Safe to repeat: yes; what it derives depends on the events alone, not on the order of their arrival.
insert into batch_derived (
    source, visitor_id, event_id, event_time, customer_id, is_new, old_session_id, event_date,
    carried_start, carried_customer_id
)
with recursive fresh as (
    select t.source, t.event_id, t.event_time, t.customer_id, t.event_date,
        coalesce(
            t.anonymous_id,
            -- Without an id the visitor is a keyed hash of source, address and user agent, good for a day.
            left(encode(sha256(k.key || convert_to(t.source || E'\n' || coalesce(host(t.ip), '') || E'\n'
                || coalesce(t.user_agent, ''), 'UTF8')), 'hex'), 32)
        ) as visitor_id
    from batch_timed t
    left join ops.visitor_keys k on k.day = t.event_date
    where t.load_id = any(%(load_ids)s) and t.received_at between %(received_from)s and %(received_until)s
        and t.session_id is null
        and not exists (select from batch_repeats b where b.part = t.part and b.tid = t.tid)
), reach as (
    select source, visitor_id, min(event_time) - interval '30 minutes' as reach_from,
        max(event_time) + interval '30 minutes' as reach_until
    from fresh
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
select source, visitor_id, event_id, event_time, customer_id, true, null, event_date, null, null from fresh
union all
select n.source, n.visitor_id, e.event_id, e.event_time, e.customer_id, false, e.session_id, e.event_date,
    c.carried_start, c.carried_customer_id
from near n
join clean.events e on e.session_id = n.session_id and e.source = n.source
    and e.event_date between ops.day_of(n.started_at) and ops.day_of(n.ended_at)
join carried c on c.source = n.source and c.visitor_id = n.visitor_id
