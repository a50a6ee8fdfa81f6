-- clean.events, clean.sessions and what the processor keeps in ops.

create table clean.events (
    event_date date not null,
    event_time timestamptz not null,
    client_time timestamptz,
    sent_at timestamptz,
    received_at timestamptz not null,
    event_id uuid not null,
    source text not null,
    is_test boolean not null,
    event_type text not null,
    event_name text,
    client_id text,
    seq bigint,
    session_id text not null,
    sdk_session_id text,
    anonymous_id text,
    customer_id text,
    page_url text,
    page_host text,
    page_path text,
    referrer text,
    referrer_host text,
    channel text not null,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    ad_click_id text,
    page_code text,
    page_name text,
    click_text text,
    checkbox_name text,
    checkbox_checked boolean,
    popup_name text,
    click_name text,
    tab_name text,
    flow_name text,
    step_position smallint,
    step_name text,
    search_text text,
    exit_menu text,
    error_code text,
    error_message text,
    error_page text,
    platform text,
    app_name text,
    app_version text,
    device_type text not null,
    device_model text,
    os_name text,
    os_version text,
    browser_name text,
    browser_version text,
    is_bot boolean not null,
    screen_width integer,
    screen_height integer,
    language text,
    timezone text,
    network_type text,
    ip inet,
    user_agent text,
    country text,
    region text,
    props jsonb,
    flags text[] not null default '{}'
) partition by range (event_date);
comment on table clean.events is 'One row per event: duplicates removed, clock corrected, enriched. Nothing but a derived session_id ever changes.';

-- Whole sessions are read back when a late event touches them, and by analysts.
create index events_session on clean.events (session_id);
-- A day's rows arrive nearly in order of time: BRIN costs a few pages where a btree would cost 30 bytes a row.
create index events_event_time on clean.events using brin (event_time);
create index events_received_at on clean.events using brin (received_at);

create table clean.sessions (
    source text not null,
    session_id text not null,
    session_date date not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    is_derived boolean not null,
    is_test boolean not null,
    is_bot boolean not null,
    visitor_id text not null,
    customer_id text,
    events bigint not null,
    page_views bigint not null,
    clicks bigint not null,
    errors bigint not null,
    entry_page_url text,
    entry_page_code text,
    entry_page_name text,
    exit_page_url text,
    exit_page_code text,
    exit_page_name text,
    exit_menu text,
    channel text not null,
    referrer_host text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    ad_click_id text,
    platform text,
    app_version text,
    device_type text not null,
    os_name text,
    browser_name text,
    country text,
    region text,
    primary key (source, session_id)
);
comment on table clean.sessions is 'One row per session: the SDK''s where it has one, else derived from 30 minutes of silence.';
create index sessions_visitor on clean.sessions (source, visitor_id, started_at) where is_derived;
create index sessions_date on clean.sessions (session_date);

create table ops.runs (
    run_id bigint generated always as identity primary key,
    started_at timestamptz not null default now(),
    loads integer not null,
    loaded bigint not null
);
comment on table ops.runs is 'One row per transaction of the processor.';

create table ops.processed (
    load_id bigint primary key references ops.loads (load_id),
    run_id bigint not null references ops.runs (run_id)
);
comment on table ops.processed is 'Which run cleaned which load: claimed first, committed with its rows.';

create table ops.dedup (
    arrived date not null,
    event_id uuid not null,
    source text not null,
    content_hash bigint not null,
    received_at timestamptz not null,
    primary key (event_id, source, arrived)
) partition by range (arrived);
comment on table ops.dedup is 'The first arrival of every event id for at least 14 days: what decides that a second one is a duplicate.';

create table ops.duplicates (
    run_id bigint not null,
    load_id bigint not null,
    received_at timestamptz not null,
    source text not null,
    event_type text not null,
    event_id uuid not null,
    first_received_at timestamptz not null
);
comment on table ops.duplicates is 'Every second arrival of an event, with the arrival it repeats.';
create index duplicates_received_at on ops.duplicates using brin (received_at);
create index duplicates_event on ops.duplicates (event_id);

create table ops.visitor_keys (
    day date primary key,
    key bytea not null
);
comment on table ops.visitor_keys is 'The day''s key of the visitor hash; when a day''s key is dropped its hashes can no longer be linked to an address.';

create function ops.day_of(moment timestamptz) returns date
    language sql immutable strict parallel safe
    return (moment at time zone 'Asia/Seoul')::date;
comment on function ops.day_of is 'The Korean calendar day of a moment.';

create function ops.ensure_clean_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if day not between current_date - 800 and current_date + 8 then
        raise exception 'no partition of clean.events for %: it is too far from today, check the clocks', day;
    end if;
    perform ops.ensure_daily_partition('clean.events', 'event_date', day);
end
$$;
comment on function ops.ensure_clean_partition is 'Makes a day''s partition of clean.events.';

create function ops.ensure_dedup_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if day not between current_date - 40 and current_date + 8 then
        raise exception 'no partition of ops.dedup for %: it is too far from today, check the clocks', day;
    end if;
    perform ops.ensure_daily_partition('ops.dedup', 'arrived', day);
end
$$;
comment on function ops.ensure_dedup_partition is 'Makes an arrival day''s partition of ops.dedup.';

-- How far each slot is finished: its last contiguous segment that is loaded and processed.
create view ops.slot_progress as
select
    s.spool_id,
    s.slot,
    s.last_segment,
    s.retired_at,
    p.finished_segment,
    p.until,
    p.final and p.finished_segment = s.last_segment as is_final
from ops.slots s
left join lateral (
    select l.segment as finished_segment, l.until, l.final
    from ops.loads l
    where l.spool_id = s.spool_id and l.slot = s.slot
        and l.segment < coalesce(
            -- the first segment that is missing or not processed
            (
                select min(gap.segment) from (
                    select l2.segment, l2.segment - lag(l2.segment, 1, 0::bigint) over (order by l2.segment) as step,
                        p2.load_id is null as unprocessed
                    from ops.loads l2
                    left join ops.processed p2 using (load_id)
                    where l2.spool_id = s.spool_id and l2.slot = s.slot
                ) gap
                where gap.step <> 1 or gap.unprocessed
            ),
            9223372036854775807
        )
    order by l.segment desc
    limit 1
) p on true;
comment on view ops.slot_progress is 'Per slot: the last segment up to which everything is loaded and processed.';

create view ops.watermark as
select
    case
        when all_final then latest
        -- A living slot of which nothing is finished yet holds everybody back.
        when not blocked then earliest
    end as finished_until,
    all_final
from (
    select
        coalesce(bool_and(is_closed), false) as all_final,
        max(until) as latest,
        min(until) filter (where not is_closed) as earliest,
        coalesce(bool_or(until is null and not is_closed), true) as blocked
    from (
        select until, coalesce(is_final, false) or retired_at is not null as is_closed from ops.slot_progress
    ) slots
) summed;
comment on view ops.watermark is 'Every event received before this is loaded and processed; minutes before it are final.';

grant usage on schema raw, ops, clean to sillok_processor;
grant select on raw.events, ops.loads, ops.slots, ops.clients, ops.rejected, ops.audit, ops.slot_progress, ops.watermark
    to sillok_processor;
grant select, insert on ops.runs, ops.processed, ops.dedup, ops.duplicates, ops.visitor_keys, ops.dead_letters
    to sillok_processor;
grant insert on ops.audit to sillok_processor;
grant select, insert on clean.events to sillok_processor;
grant update (session_id) on clean.events to sillok_processor;
grant select, insert, update, delete on clean.sessions to sillok_processor;
grant usage on schema clean to sillok_reader;
grant select on all tables in schema clean to sillok_reader;
alter default privileges in schema clean grant select on tables to sillok_reader;
revoke all on function ops.ensure_clean_partition, ops.ensure_dedup_partition from public;
grant execute on function ops.ensure_clean_partition, ops.ensure_dedup_partition to sillok_processor;
