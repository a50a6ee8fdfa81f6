-- Roles, raw.events, the ledger and everything the loader writes.

do $$
declare
    role_name text;
begin
    foreach role_name in array array['sillok_loader', 'sillok_processor', 'sillok_reader'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin', role_name);
        end if;
    end loop;
end
$$;

create schema raw;
comment on schema raw is 'Every accepted event as it was loaded; append-only, kept for days.';
create schema if not exists ops;
comment on schema ops is 'The ledger, the counts, the dead letters: what proves the books.';
create schema clean;
comment on schema clean is 'The only schema analytics may read.';

-- The books' fingerprint of an event's id: the low 64 bits of the UUID, here as a signed bigint.
-- Sums of it are congruent to the unsigned sums modulo 2^64.
create function ops.id_hash(event_id uuid) returns bigint
    language sql immutable strict parallel safe
    return ('x' || right(replace(event_id::text, '-', ''), 16))::bit(64)::bigint;
comment on function ops.id_hash is 'Low 64 bits of the event id; the same as contract.fingerprint.id_hash modulo 2^64.';

create function ops.hash_sum(total numeric) returns numeric
    language sql immutable parallel safe
    return mod(mod(coalesce(total, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616);
comment on function ops.hash_sum is 'A sum of id hashes brought into 0 … 2^64 - 1.';

create table raw.events (
    load_id bigint not null,
    received_at timestamptz not null,
    event_id uuid not null,
    content_hash bigint not null,
    time bigint not null,
    sent_at bigint,
    seq bigint,
    source text not null,
    is_test boolean not null,
    event_type text not null,
    event_name text,
    client_id text,
    session_id text,
    anonymous_id text,
    customer_id text,
    page_url text,
    referrer text,
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
    os_name text,
    os_version text,
    device_model text,
    screen_width integer,
    screen_height integer,
    language text,
    timezone text,
    network_type text,
    ip inet,
    user_agent text,
    props jsonb,
    flags text[]
) partition by range (received_at);
comment on table raw.events is 'One row per accepted event, as sent, merged with its batch''s context. Daily partitions by received_at (Asia/Seoul).';

-- The processor reads whole loads; equal keys share one entry each, so this costs little (see DECISIONS.md).
create index raw_events_load on raw.events (load_id);

create sequence ops.load_id_seq as bigint;
create table ops.loads (
    spool_id uuid not null,
    slot integer not null,
    segment bigint not null,
    load_id bigint not null unique default nextval('ops.load_id_seq'),
    content_sha256 bytea not null,
    frames integer not null,
    received bigint not null,
    rejected bigint not null,
    accepted bigint not null,
    accepted_hash_sum numeric(20) not null,
    loaded bigint not null,
    loaded_hash_sum numeric(20) not null,
    dead_lettered bigint not null,
    damaged bigint not null,
    until timestamptz not null,
    final boolean not null,
    recovered boolean not null,
    torn_bytes bigint not null,
    loaded_at timestamptz not null default now(),
    primary key (spool_id, slot, segment),
    constraint accepted_is_accounted_for check (accepted = loaded + dead_lettered + damaged)
);
alter sequence ops.load_id_seq owned by ops.loads.load_id;
comment on table ops.loads is 'The ledger: one row per loaded segment, written first and committed with its rows.';

create table ops.slots (
    spool_id uuid not null,
    slot integer not null,
    last_segment bigint not null,
    seen_at timestamptz not null default now(),
    retired_at timestamptz,
    primary key (spool_id, slot)
);
comment on table ops.slots is 'Every writer slot a loader has seen, with the highest segment number on its disk; the watermark waits for each.';

create table ops.audit (
    audit_id bigint generated always as identity primary key,
    stage text not null,
    load_id bigint,
    run_id bigint,
    minute timestamptz not null,
    source text not null,
    event_type text not null,
    outcome text not null,
    events bigint not null,
    hash_sum numeric(20) not null,
    counted_at timestamptz not null default now(),
    constraint stage_is_known check (stage in ('spool', 'load', 'process', 'operator'))
);
create index audit_minute on ops.audit (minute);
comment on table ops.audit is 'What each stage counted for itself, in the transaction of its data: immutable rows, never edited.';

create table ops.rejected (
    load_id bigint not null,
    received_at timestamptz not null,
    source text not null,
    is_test boolean not null,
    client_id text,
    event_id uuid,
    code text not null,
    field text not null,
    message text not null,
    body text
);
create index rejected_received_at on ops.rejected using brin (received_at);
comment on table ops.rejected is 'Events refused at the door, masked, with the reason the client was told.';

create table ops.dead_letters (
    dead_letter_id bigint generated always as identity primary key,
    stage text not null,
    load_id bigint not null,
    run_id bigint,
    received_at timestamptz not null,
    source text not null,
    event_type text not null,
    event_id uuid,
    reason text not null,
    detail text not null,
    body text,
    created_at timestamptz not null default now(),
    constraint stage_is_known check (stage in ('load', 'process'))
);
create index dead_letters_event on ops.dead_letters (event_id);
comment on table ops.dead_letters is 'Accepted events that could not be loaded or cleaned, with the reason; nothing is dropped silently.';

create table ops.clients (
    source text not null,
    client_id text not null,
    sdk text,
    platform text,
    app_version text,
    created bigint not null,
    pending bigint not null,
    dropped jsonb not null,
    dropped_total bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    primary key (source, client_id)
);
comment on table ops.clients is 'The greatest figures each SDK instance has reported of itself.';

-- Partitions are made by the loader, but only through these, and only near today: a clock that jumped
-- to 2099 must not leave a partition behind.
create function ops.ensure_daily_partition(parent regclass, column_name text, day date) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    schema_name text;
    parent_name text;
    child text;
    day_start text := day || ' 00:00+09';
    day_end text := (day + 1) || ' 00:00+09';
begin
    select n.nspname, c.relname into schema_name, parent_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = parent;
    child := parent_name || to_char(day, '_YYYYMMDD');
    if to_regclass(format('%I.%I', schema_name, child)) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('sillok partition ' || parent::text));
    -- Looked up in the table itself: to_regclass would answer from a cache that the wait for the lock made stale.
    if exists (
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = schema_name and c.relname = child
    ) then
        return;
    end if;
    if column_name = 'event_date' then
        day_start := day::text;
        day_end := (day + 1)::text;
    end if;
    -- Made on its own and attached: the parent then needs no ACCESS EXCLUSIVE lock.
    execute format('create table %I.%I (like %s including all)', schema_name, child, parent);
    execute format(
        'alter table %I.%I add constraint partition_bound check (%I is not null and %I >= %L and %I < %L)',
        schema_name, child, column_name, column_name, day_start, column_name, day_end);
    execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)',
        parent, schema_name, child, day_start, day_end);
    execute format('alter table %I.%I drop constraint partition_bound', schema_name, child);
end
$$;
comment on function ops.ensure_daily_partition is 'Makes one daily partition (Korean day) unless it exists.';

create function ops.ensure_raw_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if day not between current_date - 40 and current_date + 8 then
        raise exception 'no partition of raw.events for %: it is too far from today, check the clocks', day;
    end if;
    perform ops.ensure_daily_partition('raw.events', 'received_at', day);
end
$$;
comment on function ops.ensure_raw_partition is 'Makes a day''s partition of raw.events, near today only.';

revoke all on function ops.ensure_daily_partition from public;
revoke all on function ops.ensure_raw_partition from public;
grant usage on schema raw, ops to sillok_loader;
grant insert on raw.events, ops.loads, ops.audit, ops.rejected, ops.dead_letters to sillok_loader;
grant select on ops.loads, ops.slots, ops.clients to sillok_loader;
grant insert, update on ops.slots, ops.clients to sillok_loader;
grant usage on sequence ops.load_id_seq to sillok_loader;
grant execute on function ops.ensure_raw_partition to sillok_loader;
