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
    select e.*, b.visitor_id,
        min(e.event_time) over (partition by e.source, e.session_id, e.client_id) as client_started_at
    from batch_sessions b
    join clean.events e on e.session_id = b.session_id and e.source = b.source
        and e.event_date between b.first_date and b.last_date
    where e.event_date between %(first_date)s and %(last_date)s
), ordered as (
    select *,
        row_number() over (partition by source, session_id
            order by client_started_at, client_id, seq, event_time, event_id) as nth
    from own
), summed as (
    select source, session_id, min(visitor_id) as visitor_id,
        min(event_time) as started_at, max(event_time) as ended_at,
        bool_and('session_derived' = any(flags)) as is_derived, bool_or(is_test) as is_test, bool_or(is_bot) as is_bot,
        (array_agg(customer_id order by nth desc) filter (where customer_id is not null))[1] as customer_id,
        count(*) as events,
        count(*) filter (where event_type = 'page_view') as page_views,
        count(*) filter (where event_type = 'click') as clicks,
        count(*) filter (where event_type = 'error') as errors,
        (array_agg(exit_menu order by nth desc) filter (where exit_menu is not null))[1] as exit_menu,
        (array_agg(app_version order by nth) filter (where app_version is not null))[1] as app_version
    from ordered
    group by source, session_id
), entry as (
    -- The session's way in is its first page view; a session without one begins with its first event.
    select distinct on (source, session_id) * from ordered
    order by source, session_id, event_type <> 'page_view', nth
), way_out as (
    select distinct on (source, session_id) * from ordered
    where event_type = 'page_view'
    order by source, session_id, nth desc
)
select s.source, s.session_id, ops.day_of(s.started_at), s.started_at, s.ended_at, s.is_derived, s.is_test, s.is_bot,
    s.visitor_id, s.customer_id, s.events, s.page_views, s.clicks, s.errors,
    e.page_url, e.page_code, e.page_name, x.page_url, x.page_code, x.page_name, s.exit_menu,
    case when e.event_type <> 'page_view' and e.channel = 'internal'
        then case when e.platform in ('android', 'ios') then 'app' else 'direct' end else e.channel end,
    e.referrer_host, e.utm_source, e.utm_medium, e.utm_campaign, e.utm_term, e.utm_content, e.ad_click_id,
    e.platform, s.app_version, e.device_type, e.os_name, e.browser_name, e.country, e.region
from summed s
join entry e using (source, session_id)
left join way_out x using (source, session_id)
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
