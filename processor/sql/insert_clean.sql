-- Writes the batch's rows into clean.events, enriched, and counts what was written.
-- Grain: one row per event.
-- Reads: batch_timed, batch_repeats, batch_urls, batch_user_agents, batch_addresses, batch_derived, clean.pages.
-- Writes: clean.events, batch_written, batch_counts.
-- Safe to repeat: yes; the claim of the load comes first in the same transaction, and a second run stops there.
with inserted as (
    insert into clean.events (
        event_date, event_time, client_time, sent_at, received_at, event_id, source, is_test, event_type, event_name,
        client_id, seq, session_id, sdk_session_id, anonymous_id, customer_id, page_url, page_host, page_path,
        referrer, referrer_host, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, ad_click_id,
        page_code, page_name, click_text, checkbox_name, checkbox_checked, popup_name, click_name, tab_name,
        flow_name, step_position, step_name, search_text, exit_menu, error_code, error_message, error_page,
        platform, app_name, app_version, device_type, device_model, os_name, os_version, browser_name,
        browser_version, is_bot, screen_width, screen_height, language, timezone, network_type, ip, user_agent,
        country, region, props, flags
    )
    select
        t.event_date, t.event_time, t.client_time, t.sent_time, t.received_at, t.event_id, t.source, t.is_test,
        t.event_type, t.event_name, t.client_id, t.seq,
        coalesce(t.session_id, d.session_id), t.session_id, t.anonymous_id, t.customer_id,
        t.page_url, u.page_host, u.page_path, t.referrer, u.referrer_host,
        -- Only a page view is an arrival; what is done on a page without a campaign of its own is internal.
        case when t.event_type <> 'page_view' and u.channel in ('direct', 'app') then 'internal' else u.channel end,
        coalesce(t.utm_source, u.full_source), coalesce(t.utm_medium, u.full_medium),
        coalesce(t.utm_campaign, u.full_campaign), coalesce(t.utm_term, u.full_term),
        coalesce(t.utm_content, u.full_content), coalesce(t.ad_click_id, u.full_click_id),
        t.page_code, coalesce(t.page_name, p.page_name), t.click_text, t.checkbox_name, t.checkbox_checked, t.popup_name, t.click_name,
        t.tab_name, t.flow_name, t.step_position, t.step_name, t.search_text, t.exit_menu, t.error_code,
        t.error_message, t.error_page, t.platform, t.app_name, t.app_version,
        -- A native app's own words beat what its HTTP library calls itself.
        case when t.platform in ('android', 'ios') and a.device_type in ('other', 'desktop') then 'mobile'
            else a.device_type end,
        t.device_model, coalesce(t.os_name, a.os_name),
        case when t.os_name is not null then t.os_version else a.os_version end,
        a.browser_name, a.browser_version, a.is_bot,
        t.screen_width, t.screen_height, t.language, t.timezone, t.network_type, t.ip, t.user_agent,
        g.country, g.region, t.props,
        coalesce(t.flags, '{}') || t.time_flags
            || case when t.session_id is null then array['session_derived'] else '{}' end
    from batch_timed t
    join batch_urls u on u.page_url = coalesce(t.page_url, '') and u.referrer = coalesce(t.referrer, '')
        and u.utm_source = coalesce(t.utm_source, '') and u.utm_medium = coalesce(t.utm_medium, '')
        and u.utm_campaign = coalesce(t.utm_campaign, '') and u.ad_click_id = coalesce(t.ad_click_id, '')
        and u.platform = coalesce(t.platform, '')
    join batch_user_agents a on a.user_agent = coalesce(t.user_agent, '')
    left join batch_addresses g on g.ip = t.ip
    left join clean.pages p on p.page_code = t.page_code and p.removed_at is null
    left join batch_derived d on d.is_new and t.session_id is null and d.source = t.source and d.event_id = t.event_id
    where t.load_id = any(%(load_ids)s) and t.received_at between %(received_from)s and %(received_until)s
        and not exists (select from batch_repeats b where b.part = t.part and b.tid = t.tid)
    returning received_at, source, event_type, event_id, event_date, event_time, session_id, anonymous_id, customer_id
), written as (
    insert into batch_written (source, session_id, event_date, event_time, event_type, anonymous_id, customer_id)
    select source, session_id, event_date, event_time, event_type, anonymous_id, customer_id
    from inserted
)
insert into batch_counts (stage, run_id, minute, source, event_type, outcome, events, hash_sum)
select 'process', %(run_id)s, date_trunc('minute', received_at), source, event_type, 'clean', count(*),
    ops.hash_sum(sum(ops.id_hash(event_id)))
from inserted
group by date_trunc('minute', received_at), source, event_type
