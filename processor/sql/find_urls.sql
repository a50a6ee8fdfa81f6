-- Looks sets of URL, referrer and campaign up in their dictionary, and notes that they were seen today.
-- Grain: one row per key that is known.
-- Reads: clean.channels.   Writes: clean.channels (last_seen, once a day).
-- Safe to repeat: yes.
with touched as (
    update clean.channels set last_seen = %(today)s where channel_key = any(%(keys)s) and last_seen < %(today)s
)
select channel_key, page_host, page_path, referrer_host, channel, utm_source, utm_medium, utm_campaign, utm_term,
    utm_content, null
from clean.channels
where channel_key = any(%(keys)s)
