-- Names the devices that are known to have been a customer's: whose they were is decided anew.
-- Grain: one row per device.
-- Reads: ops.identity_events.   Writes: batch_devices.
insert into batch_devices (source, anonymous_id)
select distinct source, anonymous_id from ops.identity_events where customer_id = %(customer)s and (%(source)s::text is null or source = %(source)s)
