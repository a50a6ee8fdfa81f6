-- The distinct sets of values from which URL parts and channel follow.
-- Reads: raw.events, batch_repeats.   Writes: nothing.
select distinct coalesce(page_url, ''), coalesce(referrer, ''), coalesce(utm_source, ''), coalesce(utm_medium, ''),
    coalesce(utm_campaign, ''), coalesce(ad_click_id, ''), coalesce(platform, '')
from raw.events r
where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s
    and not exists (select from batch_repeats b where b.part = r.tableoid and b.tid = r.ctid)
