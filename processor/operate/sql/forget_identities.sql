-- Forgets what is known of the devices: all of it where no event is left, else the customer's name. That somebody
-- else was there stays known: the device remains shared, and is given back to nobody.
-- Grain: one row per fact and device.
-- Reads: batch_devices, clean.events.   Writes: ops.identity_events.
-- Safe to repeat: yes; the second time there is nothing.
with devices as (
    select d.source, d.anonymous_id, exists (
        select from clean.events e where e.source = d.source and e.anonymous_id = d.anonymous_id
    ) as is_left
    from batch_devices d
), gone as (
    delete from ops.identity_events i using devices d
    where i.source = d.source and i.anonymous_id = d.anonymous_id and (not d.is_left or i.customer_id = %(customer)s)
    returning i.*, d.is_left
)
insert into ops.identity_events as i (source, anonymous_id, kind, period, customer_id, event_time)
select source, anonymous_id, kind, period, '<erased>', min(event_time)
from gone
where is_left and customer_id <> ''
group by source, anonymous_id, kind, period
on conflict (source, anonymous_id, kind, period, customer_id) do update
    set event_time = least(i.event_time, excluded.event_time)
