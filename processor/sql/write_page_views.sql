-- Writes the page views of the touched sessions: what is new is inserted, what a late event changed is updated, what
-- went to another session is deleted, and a row that would say the same is left alone.
-- A page view ends with the session's next one, or with the last event on it where that is later or nothing follows:
-- another tab may open while this one is still used. Null when nothing tells, or a clock moved backwards in between.
-- Grain: one row per page view.
-- Reads: batch_sessions, batch_pages, clean.events, clean.sessions.   Writes: clean.page_views.
-- Safe to repeat: yes; the rows depend on the sessions' events alone.
with viewed as materialized (
    select p.session_no, p.entered_at, b.source, b.session_id, s.visitor_id, p.clicks, p.errors,
        p.events - 1 - p.clicks - p.errors as other_events,
        e.*,
        row_number() over visit as nth,
        row_number() over visit = 1 as is_entry,
        lead(p.nth) over visit is null as is_exit,
        lag(e.page_url) over visit as previous_page_url,
        lag(e.page_code) over visit as previous_page_code,
        lag(e.page_name) over visit as previous_page_name,
        lead(e.page_url) over visit as next_page_url,
        lead(e.page_code) over visit as next_page_code,
        lead(e.page_name) over visit as next_page_name,
        greatest(lead(p.entered_at) over visit, p.last_at) as left_at
    from batch_pages p
    join batch_sessions b using (session_no)
    cross join lateral (
        select s.visitor_id from clean.sessions s
        where s.source = b.source and s.session_id = b.session_id
        offset 0
    ) s
    cross join lateral (
        select e.event_date, e.event_id, e.is_test, e.is_bot, e.anonymous_id, e.customer_id, e.channel, e.page_url,
            e.page_host, e.page_path, e.page_code, e.page_name
        from clean.events e
        where e.event_date = p.event_date and e.ctid = p.tid
            and e.event_date between %(first_date)s and %(last_date)s
        offset 0
    ) e
    where p.is_view
    window visit as (partition by p.session_no order by p.nth)
), timed as (
    select *, case when left_at >= entered_at
        then (extract(epoch from left_at - entered_at) * 1000)::bigint end as dwell_ms
    from viewed
), found as materialized (
    select b.session_no, p.*
    from batch_sessions b
    cross join lateral (
        select p.ctid as tid, p.event_date as found_on, p.event_id
        from clean.page_views p
        where p.session_id = b.session_id and p.source = b.source
            and p.event_date between b.first_date and b.last_date
            and p.event_date between %(first_date)s and %(last_date)s
        offset 0
    ) p
    where b.is_known
), compared as materialized (
    -- A full join is never a loop within a loop, whatever the planner believes: a machine's session may have 20,000 pages.
    select * from timed full join found using (session_no, event_id)
), gone as (
    delete from clean.page_views p
    using compared c
    where p.event_date = c.found_on and p.ctid = c.tid and c.source is null
), changed as (
    update clean.page_views p
    set visitor_id = t.visitor_id, nth = t.nth, is_entry = t.is_entry, is_exit = t.is_exit,
        previous_page_url = t.previous_page_url, previous_page_code = t.previous_page_code,
        previous_page_name = t.previous_page_name, next_page_url = t.next_page_url,
        next_page_code = t.next_page_code, next_page_name = t.next_page_name, dwell_ms = t.dwell_ms,
        clicks = t.clicks, errors = t.errors, other_events = t.other_events
    from compared t
    where p.event_date = t.found_on and p.ctid = t.tid and t.source is not null
        -- All that the session's other events decide; the rest is the page view's own and never changes.
        and (p.visitor_id, p.nth, p.is_entry, p.is_exit, p.previous_page_url, p.previous_page_code,
            p.previous_page_name, p.next_page_url, p.next_page_code, p.next_page_name, p.dwell_ms, p.clicks, p.errors,
            p.other_events)
        is distinct from (t.visitor_id, t.nth, t.is_entry, t.is_exit, t.previous_page_url, t.previous_page_code,
            t.previous_page_name, t.next_page_url, t.next_page_code, t.next_page_name, t.dwell_ms, t.clicks, t.errors,
            t.other_events)
)
insert into clean.page_views (
    event_date, entered_at, source, session_id, event_id, nth, is_entry, is_exit, visitor_id, anonymous_id, customer_id,
    is_test, is_bot, channel, page_url, page_host, page_path, page_code, page_name,
    previous_page_url, previous_page_code, previous_page_name, next_page_url, next_page_code, next_page_name,
    dwell_ms, clicks, errors, other_events
)
select
    event_date, entered_at, source, session_id, event_id, nth, is_entry, is_exit, visitor_id, anonymous_id, customer_id,
    is_test, is_bot, channel, page_url, page_host, page_path, page_code, page_name,
    previous_page_url, previous_page_code, previous_page_name, next_page_url, next_page_code, next_page_name,
    dwell_ms, clicks, errors, other_events
from compared
where tid is null
