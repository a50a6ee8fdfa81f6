-- Writes the touched sessions, whole, from their pages; a row that would say the same is left alone.
-- Grain: one row per source and session.
-- Reads: batch_sessions, batch_pages, clean.events.   Writes: clean.sessions.
-- Safe to repeat: yes; the row depends on the session's events alone.
insert into clean.sessions (
    source, session_id, session_date, started_at, ended_at, is_derived, is_test, is_bot, visitor_id, customer_id,
    events, page_views, clicks, errors, entry_page_url, entry_page_code, entry_page_name,
    exit_page_url, exit_page_code, exit_page_name, exit_menu, channel, referrer_host,
    utm_source, utm_medium, utm_campaign, utm_term, utm_content, ad_click_id,
    platform, app_version, device_type, os_name, browser_name, country, region, is_visit, active_from, active_until
)
with visits as (
    select session_no, min(started_at) as started_at, max(ended_at) as ended_at,
        min(active_from) as active_from, max(active_until) as active_until, bool_and(is_derived) as is_derived,
        bool_or(is_test) as is_test, bool_or(is_bot) as is_bot,
        (array_agg(anonymous_id order by nth) filter (where anonymous_id is not null))[1] as anonymous_id,
        (array_agg(customer_id order by nth) filter (where customer_id is not null))[count(customer_id)] as customer_id,
        sum(events) as events, count(*) filter (where is_view) as page_views, sum(clicks) as clicks, sum(errors) as errors,
        (array_agg(exit_menu order by left_at desc, nth desc) filter (where exit_menu is not null))[1] as exit_menu,
        max(left_at) filter (where exit_menu is not null) as left_at, max(entered_at) filter (where is_view) as viewed_until,
        (array_agg(app_version order by nth) filter (where app_version is not null))[1] as app_version,
        array_agg(nth order by nth) as pages, array_agg(nth order by nth) filter (where is_view) as views
    from batch_pages
    group by session_no
)
select b.source, b.session_id, ops.day_of(v.started_at), v.started_at, v.ended_at, v.is_derived, v.is_test, v.is_bot,
    -- A derived session has the visitor it was derived for; the SDK's first word counts otherwise.
    case when v.is_derived then b.visitor_id else coalesce(v.anonymous_id, b.session_id) end,
    v.customer_id, v.events, v.page_views, v.clicks, v.errors,
    entry.page_url, entry.page_code, entry.page_name, way_out.page_url, way_out.page_code, way_out.page_name,
    -- Whoever viewed a page afterwards had not left.
    case when v.left_at >= v.viewed_until is not false then v.exit_menu end,
    case when v.views is null and entry.channel = 'internal'
        then case when entry.platform in ('android', 'ios') then 'app' else 'direct' end else entry.channel end,
    entry.referrer_host, entry.utm_source, entry.utm_medium, entry.utm_campaign, entry.utm_term, entry.utm_content,
    entry.ad_click_id, entry.platform, v.app_version, entry.device_type, entry.os_name, entry.browser_name,
    entry.country, entry.region, v.active_from is not null, v.active_from, v.active_until
from visits v
join batch_sessions b using (session_no)
-- The way in is the first page view, the way out the last; a session without one begins with its first event.
join batch_pages i on i.session_no = v.session_no and i.nth = coalesce(v.views[1], v.pages[1])
cross join lateral (
    select * from clean.events e
    where e.event_date = i.event_date and e.ctid = i.tid and e.event_date between %(first_date)s and %(last_date)s
    offset 0
) entry
left join batch_pages o on o.session_no = v.session_no and o.nth = v.views[v.page_views]
left join lateral (
    select * from clean.events e
    where e.event_date = o.event_date and e.ctid = o.tid and e.event_date between %(first_date)s and %(last_date)s
    offset 0
) way_out on true
on conflict (source, session_id) do update set
    session_date = excluded.session_date, started_at = excluded.started_at, ended_at = excluded.ended_at,
    is_derived = excluded.is_derived, is_test = excluded.is_test, is_bot = excluded.is_bot,
    visitor_id = excluded.visitor_id, customer_id = excluded.customer_id, events = excluded.events,
    page_views = excluded.page_views, clicks = excluded.clicks, errors = excluded.errors,
    entry_page_url = excluded.entry_page_url, entry_page_code = excluded.entry_page_code,
    entry_page_name = excluded.entry_page_name, exit_page_url = excluded.exit_page_url,
    exit_page_code = excluded.exit_page_code, exit_page_name = excluded.exit_page_name,
    exit_menu = excluded.exit_menu, channel = excluded.channel, referrer_host = excluded.referrer_host,
    utm_source = excluded.utm_source, utm_medium = excluded.utm_medium, utm_campaign = excluded.utm_campaign,
    utm_term = excluded.utm_term, utm_content = excluded.utm_content, ad_click_id = excluded.ad_click_id,
    platform = excluded.platform, app_version = excluded.app_version, device_type = excluded.device_type,
    os_name = excluded.os_name, browser_name = excluded.browser_name, country = excluded.country,
    region = excluded.region, is_visit = excluded.is_visit, active_from = excluded.active_from,
    active_until = excluded.active_until
where sessions.* is distinct from excluded.*
