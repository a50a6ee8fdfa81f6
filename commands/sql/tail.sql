-- Reads what became clean with one load of a run, in the order of its arrival.
-- Grain: one row per event.
-- Reads: raw.events, clean.events.   Writes: nothing.
-- Safe to repeat: yes.
select
    to_char(e.event_time, 'MM-DD HH24:MI:SS') as shown_time, e.source, e.event_type,
    coalesce(e.page_name, e.page_code, e.page_path, '') as page,
    coalesce(e.click_text, e.error_message, e.step_name, e.search_text, e.tab_name, e.popup_name, e.checkbox_name,
        e.event_name, e.exit_menu, e.click_name, '') as what,
    e.channel, e.device_type, array_to_string(e.flags, ' ') as flags,
    case when %(as_json)s then jsonb_strip_nulls(to_jsonb(e))::text end as whole
from raw.events r
join clean.events e on e.event_id = r.event_id and e.source = r.source and e.received_at = r.received_at
where r.load_id = any(%(load_ids)s)
    and e.received_at between %(received_from)s and %(received_until)s
    and (%(source)s::text is null or e.source = %(source)s)
    and (%(types)s::text[] is null or e.event_type = any(%(types)s))
order by e.received_at, e.event_time, e.client_id, e.seq
