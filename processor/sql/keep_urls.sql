-- Keeps what the batch parsed for the first time.
-- Grain: one row per set of URL, referrer, campaign and platform.
-- Reads: batch_urls.   Writes: clean.channels.
-- Safe to repeat: yes; a key that is there stays as it is.
insert into clean.channels (
    channel_key, page_host, page_path, referrer_host, platform, utm_source, utm_medium, utm_campaign, utm_term,
    utm_content, channel, rules_version, last_seen
)
select channel_key, page_host, page_path, referrer_host, nullif(platform, ''), full_source, full_medium, full_campaign,
    full_term, full_content, channel, %(version)s, %(today)s
from batch_urls
where channel_key is not null
on conflict do nothing
