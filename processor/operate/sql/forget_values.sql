-- Drops from the dictionaries the addresses and user agents that only leaving events have: they may tell whose they were.
-- Grain: one row per distinct value.
-- Reads: leaving, clean.events.   Writes: clean.channels, clean.user_agents.
-- Safe to repeat: yes; the second time there is nothing.
with going as materialized (
    select e.page_path, e.user_agent
    from leaving l
    join clean.events e on e.source = l.source and e.event_id = l.event_id
    where e.event_date between %(first_date)s and %(last_date)s and e.received_at < %(until)s
), staying as materialized (
    select distinct e.page_path, e.user_agent
    from clean.events e
    where not exists (
        select from leaving l where l.source = e.source and l.event_id = e.event_id and e.received_at < %(until)s)
        and (e.page_path in (select page_path from going) or e.user_agent in (select user_agent from going))
), paths as (
    delete from clean.channels
    where page_path in (select page_path from going)
        and page_path not in (select page_path from staying where page_path is not null)
)
delete from clean.user_agents
where user_agent in (select left(user_agent, 512) from going)
    and user_agent not in (select left(user_agent, 512) from staying where user_agent is not null)
