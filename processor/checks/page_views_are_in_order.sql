-- Proves: a session's page views are numbered from 1, each knows the one before and the one after it, the first is its
-- entry and the last its exit; and they have no more events than the session.
-- Needs: clean.page_views
-- Grain: one row per page view that says something else.
-- Reads: clean.page_views, clean.sessions.
-- Cost: a scan of the page views of the sessions since, sorted by session.
with since as (
    select ops.day_of(greatest(%(since)s, timestamptz '2000-01-01')) as first_date
), viewed as (
    select p.source, p.session_id, p.event_id, p.nth, p.is_entry, p.is_exit, p.dwell_ms, s.events, s.page_views,
        row_number() over visit as found_nth, count(*) over (partition by p.source, p.session_id) as views,
        sum(p.clicks + p.errors + p.other_events) over (partition by p.source, p.session_id) as others,
        (p.previous_page_url, p.previous_page_code) is distinct from (lag(p.page_url) over visit, lag(p.page_code) over visit)
            or (p.next_page_url, p.next_page_code) is distinct from (lead(p.page_url) over visit, lead(p.page_code) over visit)
            as has_strange_neighbours
    from clean.page_views p
    join clean.sessions s on s.source = p.source and s.session_id = p.session_id
    where p.event_date >= (select first_date from since) and s.session_date >= (select first_date from since)
    window visit as (partition by p.source, p.session_id order by p.nth, p.event_id)
)
select source, session_id, event_id, nth, found_nth, is_entry, is_exit, dwell_ms, views, page_views, others, events
from viewed
where nth <> found_nth or is_entry <> (found_nth = 1) or is_exit <> (found_nth = views) or has_strange_neighbours
    or dwell_ms < 0 or views <> page_views or views + others > events
