-- Looks user agents up in their dictionary, and notes that they were seen today.
-- Grain: one row per key that is known.
-- Reads: clean.user_agents.   Writes: clean.user_agents (last_seen, once a day).
-- Safe to repeat: yes.
with touched as (
    update clean.user_agents set last_seen = %(today)s
    where user_agent_key = any(%(keys)s) and last_seen < %(today)s
)
select user_agent_key, device_type, os_name, os_version, browser_name, browser_version, is_bot
from clean.user_agents
where user_agent_key = any(%(keys)s)
