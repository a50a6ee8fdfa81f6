-- Proves: each page view event has one row among the page views, of the same session, day and time, and no row is without.
-- Needs: clean.page_views
-- Grain: one row per page view that is missing, too much, twice or elsewhere.
-- Reads: clean.events, clean.page_views.
-- Cost: a scan of the clean rows and of the page views that happened since, hashed by id.
with since as (
    select ops.day_of(greatest(%(since)s, timestamptz '2000-01-01')) as first_date
), views as (
    select source, session_id, event_id, min(event_date) as event_date, min(entered_at) as entered_at, count(*) as copies
    from clean.page_views
    where event_date >= (select first_date from since)
    group by source, session_id, event_id
), events as (
    select source, session_id, event_id, event_date, event_time
    from clean.events
    where event_type = 'page_view' and event_date >= (select first_date from since)
)
select source, session_id, event_id, e.event_time, v.entered_at, v.copies
from events e
full join views v using (source, session_id, event_id)
where (v.copies, v.event_date, v.entered_at) is distinct from (1, e.event_date, e.event_time)
