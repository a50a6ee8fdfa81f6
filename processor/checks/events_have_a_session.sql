-- Proves: every clean event's session is in clean.sessions, and only what a person did not do, and no SDK put into a
-- session, has none.
-- Grain: one row per session that is missing.
-- Reads: clean.events, clean.sessions.
-- Cost: a scan of the clean rows received since, hashed by session.
select e.source, e.session_id, count(*) as events, min(e.event_date) as first_date, max(e.event_date) as last_date
from clean.events e
where e.received_at >= %(since)s
    and not exists (select from clean.sessions s where s.source = e.source and s.session_id = e.session_id)
    and (e.session_id is not null or e.sdk_session_id is not null or ops.is_doing(e.event_type, e.platform))
group by e.source, e.session_id
