-- What happened on a day, of what was received before a moment: the figures analysts quote, test keys apart.
-- Grain: one row per source, event type and account.
-- Reads: clean.events.   Writes: nothing.
select source, event_type, case when is_test then 'clean_test' else 'clean' end as account, count(*),
    ops.hash_sum(sum(ops.id_hash(event_id))), ops.hash_sum(sum(hash_record_extended((
        event_time, received_at, event_id, client_id, seq, anonymous_id, customer_id, page_url, page_code, click_text,
        search_text, step_position, step_name, error_code, platform, app_version, channel, props
    )::record, 0)))
from clean.events
where event_date = %(day)s and received_at < %(received_until)s
group by 1, 2, 3
