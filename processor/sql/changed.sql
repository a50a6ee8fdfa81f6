-- Rows of clean.events that are not what raw.events holds: another content, another time, or no such row at all.
-- Left out is what the processor makes of an event: page names, channel, device, place, session.
-- Grain: one row per minute, source and event type that has any.
-- Reads: clean.events, raw.events.   Writes: nothing.
select date_trunc('minute', c.received_at), c.source, c.event_type, 'check.changed', count(*), 0
from clean.events c
where c.received_at >= %(from)s and c.received_at < %(until)s
    -- One anti-join: as a condition beside others the subquery would be asked anew for every row.
    and not exists (
        select
        from raw.events r
        where c.event_date = ops.day_of(c.event_time)
            and (c.event_time in (c.received_at, c.client_time, c.client_time + (c.received_at - c.sent_at))) is true
            and r.received_at >= %(from)s and r.received_at < %(until)s
            and r.event_id = c.event_id and r.source = c.source and r.received_at = c.received_at
            and c.client_time is not distinct from
                case when r.time between 0 and 7258118400000
                    then timestamptz 'epoch' + r.time * interval '1 millisecond' end
            and c.sent_at is not distinct from
                case when r.sent_at between 0 and 7258118400000
                    then timestamptz 'epoch' + r.sent_at * interval '1 millisecond' end
            and (
                c.is_test, c.event_type, c.event_name, c.client_id, c.seq, c.sdk_session_id, c.anonymous_id,
                c.customer_id, c.page_url, c.referrer, c.page_code, c.click_text, c.checkbox_name,
                c.checkbox_checked, c.popup_name, c.click_name, c.tab_name, c.flow_name, c.step_position,
                c.step_name, c.search_text, c.exit_menu, c.error_code, c.error_message, c.error_page, c.platform,
                c.app_name, c.app_version, c.device_model, c.screen_width, c.screen_height, c.language,
                c.timezone, c.network_type, c.props
            ) is not distinct from (
                r.is_test, r.event_type, r.event_name, r.client_id, r.seq, r.session_id, r.anonymous_id,
                r.customer_id, r.page_url, r.referrer, r.page_code, r.click_text, r.checkbox_name,
                r.checkbox_checked, r.popup_name, r.click_name, r.tab_name, r.flow_name, r.step_position,
                r.step_name, r.search_text, r.exit_menu, r.error_code, r.error_message, r.error_page, r.platform,
                r.app_name, r.app_version, r.device_model, r.screen_width, r.screen_height, r.language,
                r.timezone, r.network_type, r.props
            )
    )
group by 1, 2, 3
