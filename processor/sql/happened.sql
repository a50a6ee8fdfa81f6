-- What happened on some days, by name: the inner side of the outside account. Events of test keys are left out.
-- Grain: one row per event day, type, source and name.
-- Reads: clean.events.   Writes: nothing.
select event_date, event_type, source, coalesce(event_name, ''), count(*)
from clean.events
where event_date = any(%(days)s::date[]) and event_type = any(%(types)s::text[]) and not is_test
group by 1, 2, 3, 4
