-- Drops what other rules or other code made, and what was not seen for 30 days; returns how many rows are left.
-- Grain: one row.
-- Reads, writes: clean.user_agents.
-- Safe to repeat: yes.
with dropped as (
    delete from clean.user_agents where rules_version <> %(version)s or last_seen < %(today)s - 30
    returning true
)
select (select count(*) from clean.user_agents) - (select count(*) from dropped)
