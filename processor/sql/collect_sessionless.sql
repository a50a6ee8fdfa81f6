-- Collects the batch's events without an SDK session: what a person did, whose session is to be derived, and what only
-- belongs to a session.
-- Grain: one row per event.
-- Reads: batch_timed, batch_repeats, ops.visitor_keys.   Writes: batch_derived, batch_belonging.
with sessionless as (
    select t.source, coalesce(t.anonymous_id, ops.unnamed_visitor(k.key, t.source, t.ip, t.user_agent)) as visitor_id,
        t.event_id, t.event_time, t.customer_id, t.event_date, ops.is_doing(t.event_type, t.platform) as is_doing
    from batch_timed t
    left join ops.visitor_keys k on k.day = t.event_date
    where t.load_id = any(%(load_ids)s) and t.received_at between %(received_from)s and %(received_until)s
        and t.session_id is null
        and not exists (select from batch_repeats b where b.part = t.part and b.tid = t.tid)
), belonging as (
    insert into batch_belonging (source, visitor_id, event_time)
    select source, visitor_id, event_time from sessionless where not is_doing
)
insert into batch_derived (source, visitor_id, event_id, event_time, customer_id, is_new, event_date)
select source, visitor_id, event_id, event_time, customer_id, true, event_date from sessionless where is_doing
