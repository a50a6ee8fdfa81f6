-- Remembers what the batch says of whose device it is: each device's first event, its logins and logouts, and the first
-- event of every ten minutes that names a customer, for an app may name one on each event and never send a login.
-- A login that names nobody says nothing. Lists the devices of which something new is known.
-- Grain: one row per fact and device.
-- Reads: batch_written, ops.identity_events.   Writes: ops.identity_events, batch_devices.
-- Safe to repeat: yes; a fact is its own key, and the earliest time counts whichever arrives first.
with told as (
    select source, anonymous_id, customer_id,
        case when event_type in ('login', 'logout') then event_type when customer_id is not null then 'named' end as kind,
        case when event_type in ('login', 'logout') then event_time
            when customer_id is not null then date_bin('10 minutes', event_time, timestamptz 'epoch') end as period,
        min(event_time) as event_time
    from batch_written
    where anonymous_id is not null
    group by 1, 2, 3, 4, 5
), noted as (
    insert into ops.identity_events (source, anonymous_id, kind, period, customer_id, event_time)
    select source, anonymous_id, 'seen', timestamptz 'epoch', '', min(event_time) from told group by source, anonymous_id
    union all
    select source, anonymous_id, kind, period, coalesce(customer_id, ''), event_time from told
    where kind = 'logout' or customer_id is not null
    on conflict (source, anonymous_id, kind, period, customer_id) do update set event_time = excluded.event_time
        where excluded.event_time < identity_events.event_time
    returning source, anonymous_id, kind
)
insert into batch_devices (source, anonymous_id)
select distinct n.source, n.anonymous_id
from noted n
where n.kind <> 'seen' or (
    select true from ops.identity_events i
    where i.source = n.source and i.anonymous_id = n.anonymous_id and i.kind <> 'seen'
    limit 1
)
