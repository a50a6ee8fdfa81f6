-- Rewrites the touched sessions from their events, whole: so late and unordered events come out right.
-- Within a session events are in the order (client_id, seq), instances in the order of their first event.
-- Grain: one row per source and session.
-- Reads: batch_sessions, clean.events.   Writes: clean.sessions.
-- Safe to repeat: yes; the row depends on the session's events alone.
insert into clean.sessions (
    source, session_id, session_date, started_at, ended_at, is_derived, is_test, is_bot, visitor_id, customer_id,
    events, page_views, clicks, errors, entry_page_url, entry_page_code, entry_page_name,
    exit_page_url, exit_page_code, exit_page_name, exit_menu, channel, referrer_host,
    utm_source, utm_medium, utm_campaign, utm_term, utm_content, ad_click_id,
    platform, app_version, device_type, os_name, browser_name, country, region
)
with own as materialized (
    -- Only what a session needs: the sorts below carry every byte of it.
    select e.source, e.session_id, e.event_type, e.event_id, e.event_time, e.client_id, e.seq, e.flags, e.is_test,
        e.is_bot, e.anonymous_id, e.customer_id, e.page_url, e.page_code, e.page_name, e.exit_menu, e.channel, e.referrer_host,
        e.utm_source, e.utm_medium, e.utm_campaign, e.utm_term, e.utm_content, e.ad_click_id, e.platform,
        e.app_version, e.device_type, e.os_name, e.browser_name, e.country, e.region, b.visitor_id,
        min(e.event_time) over (partition by e.source, e.session_id, e.client_id) as client_started_at
    from batch_sessions b
    join clean.events e on e.session_id = b.session_id and e.source = b.source
        and e.event_date between b.first_date and b.last_date
    where e.event_date between %(first_date)s and %(last_date)s
), ordered as (
    select *, row_number() over (partition by source, session_id
        order by client_started_at, client_id, seq, event_time, event_id) as nth
    from own
), marked as (
    -- The way in is the first page view, the way out the last; a session without one begins with its first event.
    select *,
        row_number() over (partition by source, session_id order by event_type <> 'page_view', nth) = 1 as is_entry,
        row_number() over (partition by source, session_id order by event_type <> 'page_view', nth desc) = 1
            and event_type = 'page_view' as is_exit
    from ordered
)
select source, session_id, ops.day_of(min(event_time)), min(event_time), max(event_time),
    bool_and('session_derived' = any(flags)), bool_or(is_test), bool_or(is_bot),
    -- A derived session has the visitor it was derived for; the SDK's first word counts otherwise.
    case when bool_and('session_derived' = any(flags)) then min(visitor_id)
        else coalesce((array_agg(anonymous_id order by nth) filter (where anonymous_id is not null))[1], session_id) end,
    (array_agg(customer_id order by nth desc) filter (where customer_id is not null))[1],
    count(*), count(*) filter (where event_type = 'page_view'), count(*) filter (where event_type = 'click'),
    count(*) filter (where event_type = 'error'),
    min(page_url) filter (where is_entry), min(page_code) filter (where is_entry),
    min(page_name) filter (where is_entry),
    min(page_url) filter (where is_exit), min(page_code) filter (where is_exit), min(page_name) filter (where is_exit),
    (array_agg(exit_menu order by nth desc) filter (where exit_menu is not null))[1],
    min(case when event_type <> 'page_view' and channel = 'internal'
        then case when platform in ('android', 'ios') then 'app' else 'direct' end else channel end)
        filter (where is_entry),
    min(referrer_host) filter (where is_entry), min(utm_source) filter (where is_entry),
    min(utm_medium) filter (where is_entry), min(utm_campaign) filter (where is_entry),
    min(utm_term) filter (where is_entry), min(utm_content) filter (where is_entry),
    min(ad_click_id) filter (where is_entry), min(platform) filter (where is_entry),
    (array_agg(app_version order by nth) filter (where app_version is not null))[1],
    min(device_type) filter (where is_entry), min(os_name) filter (where is_entry),
    min(browser_name) filter (where is_entry), min(country) filter (where is_entry),
    min(region) filter (where is_entry)
from marked
group by source, session_id
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
    region = excluded.region
