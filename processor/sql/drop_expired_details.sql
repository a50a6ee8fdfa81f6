-- Drops what goes with the days: their sessions, and the keys of visitors; and says that it was done.
-- Grain: one row per session and key; one action when there was anything.
-- Reads: nothing.   Writes: clean.sessions, ops.visitor_keys, ops.actions.
-- Safe to repeat: yes; the second time there is nothing.
with sessions as (
    delete from clean.sessions
    where session_date < (ops.day_of(now()) - make_interval(months => %(clean_months)s::int))::date
    returning 1
), counted as (
    select (select count(*) from sessions) as sessions,
        ops.forget_visitor_keys(ops.day_of(now()) - %(visitor_key_days)s::int) as visitor_keys,
        %(result)s::jsonb as dropped
)
insert into ops.actions (operator, command, arguments, reason, result)
select %(operator)s, 'retention', '{}', '',
    jsonb_build_object('dropped', dropped, 'sessions', sessions, 'visitor_keys', visitor_keys)
from counted
where sessions + visitor_keys > 0 or dropped <> '{}'
