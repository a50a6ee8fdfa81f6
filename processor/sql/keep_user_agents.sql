-- Keeps what the batch parsed for the first time.
-- Grain: one row per user agent.
-- Reads: batch_user_agents.   Writes: clean.user_agents.
-- Safe to repeat: yes; a key that is there stays as it is.
insert into clean.user_agents (
    user_agent_key, user_agent, device_type, os_name, os_version, browser_name, browser_version, is_bot,
    rules_version, last_seen
)
select user_agent_key, left(user_agent, 512), device_type, os_name, os_version, browser_name, browser_version, is_bot,
    %(version)s, %(today)s
from batch_user_agents
where user_agent_key is not null
on conflict do nothing
