-- The content of the rows a close vouches for, summed by hash; nothing of them changes but a derived session.
-- Grain: one row per source, event type and account, of what was received within the range.
-- Reads: clean.events, ops.duplicates, ops.dead_letters, ops.rejected.   Writes: nothing.
select source, event_type, 'table.clean', ops.hash_sum(sum(hash_record_extended((
    event_date, event_time, client_time, sent_at, received_at, event_id, source, is_test, event_type, event_name,
    client_id, seq, sdk_session_id, anonymous_id, customer_id, page_url, page_host, page_path, referrer,
    referrer_host, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, ad_click_id, page_code,
    page_name, click_text, checkbox_name, checkbox_checked, popup_name, click_name, tab_name, flow_name,
    step_position, step_name, search_text, exit_menu, error_code, error_message, error_page, platform, app_name,
    app_version, device_type, device_model, os_name, os_version, browser_name, browser_version, is_bot,
    screen_width, screen_height, language, timezone, network_type, ip, user_agent, country, region, props
)::record, 0)))
from clean.events
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2
union all
select source, event_type, 'table.duplicates', ops.hash_sum(sum(hash_record_extended((
    load_id, received_at, source, event_type, event_id, first_received_at)::record, 0)))
from ops.duplicates
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2
union all
select source, event_type, 'table.dead_letters_' || stage, ops.hash_sum(sum(hash_record_extended((
    dead_letter_id, load_id, received_at, source, event_type, event_id, reason, detail, body)::record, 0)))
from ops.dead_letters
where received_at >= %(from)s and received_at < %(until)s
group by 1, 2, 3
union all
select source, '', 'table.rejected', ops.hash_sum(sum(hash_record_extended((
    load_id, received_at, source, is_test, client_id, event_id, code, field, message, body)::record, 0)))
from ops.rejected
where received_at >= %(from)s and received_at < %(until)s
group by 1
