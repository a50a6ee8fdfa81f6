-- Collects the batch's events whose session is to be derived: those without an SDK session.
-- Grain: one row per event.
-- Reads: batch_timed, batch_repeats, ops.visitor_keys.   Writes: batch_derived.
insert into batch_derived (source, visitor_id, event_id, event_time, customer_id, is_new, event_date)
select t.source,
    coalesce(
        t.anonymous_id,
        -- Without an id the visitor is a keyed hash of source, address and user agent, good for a day.
        left(encode(sha256(k.key || convert_to(t.source || E'\n' || coalesce(host(t.ip), '') || E'\n'
            || coalesce(t.user_agent, ''), 'UTF8')), 'hex'), 32)
    ),
    t.event_id, t.event_time, t.customer_id, true, t.event_date
from batch_timed t
left join ops.visitor_keys k on k.day = t.event_date
where t.load_id = any(%(load_ids)s) and t.received_at between %(received_from)s and %(received_until)s
    and t.session_id is null
    and not exists (select from batch_repeats b where b.part = t.part and b.tid = t.tid)
