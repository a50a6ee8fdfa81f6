-- Collects the customer's arrivals that are not clean: repeats, conflicts, what waits for the processor.
-- Grain: one row per event.
-- Reads: raw.events.   Writes: leaving.
insert into leaving (source, event_id)
select distinct source, event_id from raw.events
where customer_id = %(customer)s and (%(source)s::text is null or source = %(source)s)
on conflict do nothing
