-- Collects a customer's events: those that name him, in a session or in none, and all of the sessions in which nobody
-- else is named.
-- Grain: one row per event.
-- Reads: clean.events.   Writes: leaving.
insert into leaving (source, event_id, event_date)
with own as (
    select distinct source, session_id from clean.events
    where customer_id = %(customer)s and session_id is not null and (%(source)s::text is null or source = %(source)s)
), around as (
    select e.source, e.event_id, e.event_date, e.customer_id,
        bool_or(e.customer_id <> %(customer)s) over (partition by e.source, e.session_id) as is_shared
    from own
    join clean.events e on e.session_id = own.session_id and e.source = own.source
    union all
    select source, event_id, event_date, customer_id, false
    from clean.events
    where customer_id = %(customer)s and session_id is null and (%(source)s::text is null or source = %(source)s)
)
select source, event_id, max(event_date)
from around
where customer_id = %(customer)s or is_shared is not true
group by source, event_id
