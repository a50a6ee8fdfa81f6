-- Reads the events of the touched sessions, once and whole, and folds them into pages: a page view with what was done
-- on it, or what an instance (a tab, a WebView) did before its first page view. Sessions and page views are written
-- from these, so late and unordered events come out right.
-- Within a session events are in the order (client_id, seq), instances in the order of their first event; an event
-- belongs to the page view before it in its own instance, never to another tab's.
-- A visitor left an instance where no page view of it follows: at the time of his exit, which his number sets after its
-- page views whatever the clock says.
-- What was only attached to the session does not say whose it is: or whose it is would depend on what was attached.
-- Grain: one row per page view, or stretch of an instance before its first.
-- Reads: batch_sessions, clean.events.   Writes: batch_pages.
insert into batch_pages (
    session_no, nth, is_view, event_date, tid, entered_at, last_at, started_at, ended_at, active_from, active_until,
    events, clicks, errors, is_derived, is_test, is_bot, anonymous_id, customer_id, exit_menu, left_at,
    app_version
)
with own as (
    -- Only what orders and counts: the sorts carry every byte of it. The rest is fetched by the row's place.
    select b.session_no, e.*, min(e.event_time) over (partition by b.session_no, e.client_id) as client_started_at
    from batch_sessions b
    cross join lateral (
        select e.event_date, e.ctid as tid, e.event_type, e.event_id, e.event_time, e.client_id, e.seq, e.flags,
            e.is_test, e.is_bot, e.anonymous_id, e.customer_id, e.exit_menu, e.app_version,
            ops.is_doing(e.event_type, e.platform) as is_doing
        from clean.events e
        where e.session_id = b.session_id and e.source = b.source
            and e.event_date between b.first_date and b.last_date
            and e.event_date between %(first_date)s and %(last_date)s
        offset 0
    ) e
), ordered as (
    select *, is_doing or not 'session_derived' = any(flags) as is_own, row_number() over visit as nth,
        count(*) filter (where event_type = 'page_view') over visit as view_no
    from own
    window visit as (
        partition by session_no order by client_started_at, client_id, seq, event_time, event_id rows unbounded preceding)
)
select session_no, min(nth), bool_or(event_type = 'page_view'),
    (array_agg(event_date order by nth))[1], (array_agg(tid order by nth))[1], (array_agg(event_time order by nth))[1],
    max(event_time) filter (where event_type <> 'page_view'), min(event_time), max(event_time),
    min(event_time) filter (where is_doing), max(event_time) filter (where is_doing),
    count(*), count(*) filter (where event_type = 'click'), count(*) filter (where event_type = 'error'),
    bool_and('session_derived' = any(flags)), bool_or(is_test), bool_or(is_bot),
    (array_agg(anonymous_id order by nth) filter (where anonymous_id is not null and is_own))[1],
    (array_agg(customer_id order by nth desc) filter (where customer_id is not null and is_own))[1],
    case when view_no = max(view_no) over instance
        then (array_agg(exit_menu order by nth) filter (where exit_menu is not null))[count(exit_menu)] end,
    greatest(
        (array_agg(event_time order by nth) filter (where exit_menu is not null))[count(exit_menu)],
        max(max(event_time) filter (where event_type = 'page_view')) over instance),
    (array_agg(app_version order by nth) filter (where app_version is not null))[1]
from ordered
group by session_no, client_started_at, client_id, view_no
window instance as (partition by session_no, client_started_at, client_id)
