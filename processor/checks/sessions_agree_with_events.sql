-- Proves: a session's times, counts and marks are those of its events, and none is without events.
-- Grain: one row per session that says something else.
-- Reads: clean.sessions, clean.events.
-- Cost: a scan of the clean rows that happened since, grouped by session.
with since as (
    select ops.day_of(greatest(%(since)s, timestamptz '2000-01-01')) as first_date
), found as (
    select e.source, e.session_id, count(*) as events, count(*) filter (where e.event_type = 'page_view') as page_views,
        count(*) filter (where e.event_type = 'click') as clicks, count(*) filter (where e.event_type = 'error') as errors,
        min(e.event_time) as started_at, max(e.event_time) as ended_at, bool_or(e.is_test) as is_test,
        bool_or(e.is_bot) as is_bot,
        min(e.event_time) filter (where ops.is_doing(e.event_type, e.platform)) as active_from,
        max(e.event_time) filter (where ops.is_doing(e.event_type, e.platform)) as active_until
    from clean.events e
    where e.event_date >= (select first_date from since)
    group by e.source, e.session_id
)
select s.source, s.session_id, s.session_date, s.events, s.page_views, s.clicks, s.errors, s.started_at, s.ended_at,
    f.events as found_events, f.page_views as found_page_views, f.clicks as found_clicks, f.errors as found_errors,
    f.started_at as found_started_at, f.ended_at as found_ended_at, s.is_visit, s.active_from, s.active_until,
    f.active_from as found_active_from, f.active_until as found_active_until
from clean.sessions s
left join found f on f.source = s.source and f.session_id = s.session_id
where s.session_date >= (select first_date from since)
    and (
        (s.events, s.page_views, s.clicks, s.errors, s.started_at, s.ended_at, s.is_test, s.is_bot)
            is distinct from
            (f.events, f.page_views, f.clicks, f.errors, f.started_at, f.ended_at, f.is_test, f.is_bot)
        or s.session_date <> ops.day_of(s.started_at)
        -- Rows of before these columns call themselves visits and do not say of when.
        or (s.active_from is not null or not s.is_visit)
            and (s.is_visit, s.active_from, s.active_until)
                is distinct from (f.active_from is not null, f.active_from, f.active_until)
    )
