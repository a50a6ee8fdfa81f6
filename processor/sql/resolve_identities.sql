-- Decides anew whose each touched device was, from all that is known of it. A login or a named customer begins a
-- customer's time, a logout (whoever it names) or another customer ends it. A device with one customer only was theirs
-- from its first event on, unless a logout stands before; one with several is shared and never given back to anybody.
-- Somebody erased still ends the times of others and makes the device shared, and has no time of his own.
-- At one moment a logout comes first, then customers by their ids: any order will do that is always the same.
-- Grain: one row per device and stretch of time.
-- Reads: batch_devices, ops.identity_events.   Writes: batch_identities.
-- Safe to repeat: yes; it depends on the facts alone, not on the order of their arrival.
insert into batch_identities (
    source, anonymous_id, customer_id, valid, known_from, is_backfilled, is_shared, ended_by
)
with facts as materialized (
    select d.source, d.anonymous_id, f.kind, f.event_time, f.customer_id
    from batch_devices d
    cross join lateral (
        select i.kind, i.event_time, nullif(i.customer_id, '') as customer_id
        from ops.identity_events i
        where i.source = d.source and i.anonymous_id = d.anonymous_id
        offset 0
    ) f
), devices as (
    select source, anonymous_id, min(event_time) as seen_from, count(distinct customer_id) > 1 as is_shared
    from facts
    group by source, anonymous_id
), states as (
    select source, anonymous_id, event_time, owner, row_number() over device as nth, lag(owner) over device as owner_before
    from (
        select *, case when kind <> 'logout' then customer_id end as owner from facts where kind <> 'seen'
    ) f
    window device as (
        partition by source, anonymous_id order by event_time, kind <> 'logout', customer_id collate "C")
), turns as (
    select *, lead(event_time) over device as until, lead(owner) over device as next_owner
    from states
    where nth = 1 or owner is distinct from owner_before
    window device as (partition by source, anonymous_id order by nth)
)
select t.source, t.anonymous_id, t.owner, tstzrange(case when b.is_backfilled then d.seen_from else t.event_time end, t.until),
    t.event_time, b.is_backfilled, d.is_shared,
    case when t.next_owner is not null then 'other_customer' when t.until is not null then 'logout' end
from turns t
join devices d using (source, anonymous_id)
cross join lateral (select t.nth = 1 and not d.is_shared and d.seen_from < t.event_time as is_backfilled) b
where t.owner is not null and t.owner <> '<erased>' and t.until is distinct from t.event_time
