-- Adds the devices that are known to have been a customer's to those that lost events.
-- Grain: one row per device.
-- Reads: ops.identity_events.   Writes: batch_devices.
insert into batch_devices (source, anonymous_id)
select distinct source, anonymous_id from ops.identity_events where customer_id = %(customer)s
except
select source, anonymous_id from batch_devices
