-- Collects the events that need a derived session: the batch's own without an SDK session, and those of
-- every derived session of the same visitors that lies within 30 minutes of one of them.
-- Grain: one row per event.
-- Reads: batch_timed, batch_repeats, clean.sessions, clean.events, ops.visitor_keys.   Writes: batch_derived.
-- Safe to repeat: yes; what it derives depends on the events alone, not on the order of their arrival.
insert into batch_derived (source, visitor_id, event_id, event_time, customer_id, is_new, old_session_id, event_date)
with fresh as (
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
    select s.source, s.session_id, s.visitor_id, s.started_at, s.ended_at
    from clean.sessions s
    join reach using (source, visitor_id)
    where s.is_derived and s.started_at <= reach.reach_until and s.ended_at >= reach.reach_from
)
select source, visitor_id, event_id, event_time, customer_id, true, null, event_date from fresh
union all
select n.source, n.visitor_id, e.event_id, e.event_time, e.customer_id, false, e.session_id, e.event_date
from near n
join clean.events e on e.session_id = n.session_id and e.source = n.source
    and e.event_date between ops.day_of(n.started_at) and ops.day_of(n.ended_at)
