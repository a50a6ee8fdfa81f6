-- Removes leaving events from clean, names the sessions and devices they leave, and moves their count.
-- Grain: one row per event.
-- Reads: leaving, clean.sessions, batch_devices.   Writes: clean.events, batch_sessions, batch_devices, ops.clients,
-- action_moves.
with gone as (
    delete from clean.events e using leaving l
    where e.source = l.source and e.event_id = l.event_id
        and e.event_date between %(first_date)s and %(last_date)s and e.received_at < %(until)s
    returning e.received_at, e.source, e.event_type, e.event_id, e.session_id, e.event_date, e.anonymous_id, e.client_id
), touched as (
    insert into batch_sessions (
        session_no, source, session_id, visitor_id, first_date, last_date, is_known, known_visitor_id, known_from, known_until
    )
    select row_number() over (), g.source, g.session_id, min(s.visitor_id),
        least(min(g.event_date), min(ops.day_of(s.started_at))), greatest(max(g.event_date), max(ops.day_of(s.ended_at))),
        true, min(s.visitor_id), min(coalesce(s.active_from, s.started_at)), max(coalesce(s.active_until, s.ended_at))
    from gone g
    left join clean.sessions s on s.source = g.source and s.session_id = g.session_id
    where g.session_id is not null
    group by g.source, g.session_id
), remembered as (
    update ops.clients c set removed = c.removed + g.events
    from (select source, client_id, count(*) as events from gone group by source, client_id) g
    where c.source = g.source and c.client_id = g.client_id
), left_behind as (
    insert into batch_devices (source, anonymous_id)
    select source, anonymous_id from gone where anonymous_id is not null
    except
    select source, anonymous_id from batch_devices
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select date_trunc('minute', received_at), source, event_type, outcome, sum(n), sum(n * ops.id_hash(event_id)::numeric)
from gone
cross join (values ('clean', -1), (%(outcome)s, 1)) as move (outcome, n)
group by date_trunc('minute', received_at), source, event_type, outcome
