-- What operators do afterwards: who did what, what was erased, discarded, purged and dropped.

do $$
begin
    if not exists (select from pg_roles where rolname = 'sillok_operator') then
        create role sillok_operator nologin;
    end if;
end
$$;
-- A replay loads and a retry cleans: the operator may do both, and what neither of them may.
grant sillok_loader, sillok_processor to sillok_operator;

create sequence ops.action_id_seq as bigint;
create table ops.actions (
    action_id bigint primary key default nextval('ops.action_id_seq'),
    at timestamptz not null default now(),
    operator text not null,
    command text not null,
    arguments jsonb not null,
    reason text not null,
    result jsonb not null
);
alter sequence ops.action_id_seq owned by ops.actions.action_id;
comment on table ops.actions is 'What operators did, and why: one row per action, never changed; no personal data in it.';

alter table ops.audit add column action_id bigint;
alter table ops.audit add constraint only_operators_act check (action_id is null or stage = 'operator');

-- What an instance sent and an operator removed has arrived all the same: its account must not call it vanished.
alter table ops.clients add column removed bigint not null default 0;

create table ops.discarded (
    dead_letter_id bigint primary key,
    action_id bigint not null,
    stage text not null,
    load_id bigint not null,
    received_at timestamptz not null,
    source text not null,
    event_type text not null,
    event_id uuid,
    reason text not null
);
comment on table ops.discarded is 'Dead letters an operator gave up; their contents are gone, their names stay.';
create index discarded_event on ops.discarded (event_id);

create table ops.tombstones (
    hash bytea primary key,
    action_id bigint not null
);
comment on table ops.tombstones is 'Keyed hashes of erased events: what bears one is never loaded or cleaned again.';

create table ops.erasure_key (
    only_one boolean primary key default true check (only_one),
    inner_pad bytea not null,
    outer_pad bytea not null
);
comment on table ops.erasure_key is 'The key of the tombstones, as the two pads of HMAC-SHA256; no role reads it, functions do.';
-- 32 random bytes, filled up with zeros to the hash's block of 64 and combined with the pads of RFC 2104.
insert into ops.erasure_key (inner_pad, outer_pad)
select
    (select string_agg(set_byte('\x00', 0, get_byte(k.key, n) # 54), '' order by n) from generate_series(0, 63) as n),
    (select string_agg(set_byte('\x00', 0, get_byte(k.key, n) # 92), '' order by n) from generate_series(0, 63) as n)
from (
    select sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
        || decode(repeat('00', 32), 'hex') as key
    offset 0
) k;

create table ops.purges (
    source text not null,
    until timestamptz not null,
    action_id bigint not null
);
comment on table ops.purges is 'Sources whose events were removed: a replay leaves alone what was received before.';

create table ops.dropped_partitions (
    parent text not null,
    day date not null,
    rows bigint not null,
    hash_sum numeric(20) not null,
    dropped_at timestamptz not null default now()
);
comment on table ops.dropped_partitions is 'What retention removed, by table and day, with what it held.';
create index dropped_partitions_day on ops.dropped_partitions (parent, day);

create function ops.keyed_hash(text_ text) returns bytea
    language sql stable strict security definer set search_path = pg_catalog, pg_temp
as $$
    select sha256(outer_pad || sha256(inner_pad || convert_to(text_, 'UTF8'))) from ops.erasure_key
$$;
comment on function ops.keyed_hash is 'HMAC-SHA256 under the key of the tombstones.';

create function ops.erased_among(sources text[], event_ids uuid[]) returns table (source text, event_id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select e.source, e.event_id
    from (select distinct * from unnest(sources, event_ids)) as e (source, event_id)
    cross join ops.erasure_key k
    join ops.tombstones t on t.hash = sha256(k.outer_pad || sha256(
        k.inner_pad || convert_to(e.event_id || ' ' || e.source, 'UTF8')))
$$;
comment on function ops.erased_among is 'Returns those of these events that bear a tombstone.';

create function ops.bury(sources text[], event_ids uuid[], action bigint) returns bigint
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    with buried as (
        insert into ops.tombstones (hash, action_id)
        select distinct sha256(k.outer_pad || sha256(
            k.inner_pad || convert_to(e.event_id || ' ' || e.source, 'UTF8'))), action
        from unnest(sources, event_ids) as e (source, event_id)
        cross join ops.erasure_key k
        on conflict do nothing
        returning 1
    )
    select count(*) from buried
$$;
comment on function ops.bury is 'Leaves a tombstone for each of these events; returns how many are new.';

-- Holds loader and processor between two transactions of theirs until the caller's ends.
create function ops.pause_work() returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    lock table ops.loads, ops.processed in share row exclusive mode
$$;
comment on function ops.pause_work is 'Lets no load and no run begin before the end of this transaction.';

-- Retention. What may go is decided here once more: no role can drop what is still needed.
create function ops.drop_partition(parent text, partition_day date) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    schema_name text := split_part(parent, '.', 1);
    child text := split_part(parent, '.', 2) || to_char(partition_day, '_YYYYMMDD');
    youngest date;
    held bigint;
    held_hash numeric;
    waiting boolean := false;
    held_now bigint;
begin
    youngest := case parent
        when 'raw.events' then ops.day_of(now()) - 1
        when 'clean.events' then ops.day_of(now()) - 31
        when 'clean.page_views' then ops.day_of(now()) - 31
        -- A second arrival within 14 days must find the first, also when it is processed days later.
        when 'ops.dedup' then (select ops.day_of(finished_until) from ops.watermark) - 15
    end;
    if youngest is null or partition_day > youngest then
        raise exception 'the partition of % for % is still needed', parent, partition_day;
    end if;
    perform pg_advisory_xact_lock(hashtext('sillok retention'));
    if not exists (
        select from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = parent::regclass and c.relname = child
    ) then
        return null;
    end if;
    execute format('select count(*), ops.hash_sum(sum(ops.id_hash(event_id))) from %I.%I', schema_name, child)
        into held, held_hash;
    -- The parent before the child, as everybody else locks them; whoever reads for long is not waited for.
    perform set_config('lock_timeout', '3s', true);
    execute format('lock table only %I.%I in access exclusive mode', schema_name, split_part(parent, '.', 2));
    execute format('lock table %I.%I in access exclusive mode', schema_name, child);
    if parent = 'raw.events' then
        execute format('select exists (select from %I.%I r where not exists '
            '(select from ops.processed p where p.load_id = r.load_id))', schema_name, child) into waiting;
    end if;
    execute format('select count(*) from %I.%I', schema_name, child) into held_now;
    if waiting or held_now <> held then
        raise exception 'the partition of % for % has rows that are not processed', parent, partition_day;
    end if;
    execute format('drop table %I.%I', schema_name, child);
    if held > 0 then
        insert into ops.dropped_partitions (parent, day, rows, hash_sum) values (parent, partition_day, held, held_hash);
    end if;
    return held;
end
$$;
comment on function ops.drop_partition is 'Drops a day''s partition that is past its time; returns its rows, null when there is none.';

create function ops.drop_details(detail_table text, detail_day date) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    held bigint;
    held_hash numeric;
begin
    if detail_table not in ('ops.rejected', 'ops.duplicates') or detail_day > ops.day_of(now()) - 31 then
        raise exception 'the rows of % for % are still needed', detail_table, detail_day;
    end if;
    execute format(
        'with gone as (delete from %s where received_at >= %L and received_at < %L returning event_id) '
        'select count(*), ops.hash_sum(sum(ops.id_hash(event_id))) from gone',
        detail_table::regclass, detail_day || ' 00:00+09', (detail_day + 1) || ' 00:00+09') into held, held_hash;
    if held > 0 then
        insert into ops.dropped_partitions (parent, day, rows, hash_sum)
        values (detail_table, detail_day, held, held_hash);
    end if;
    return held;
end
$$;
comment on function ops.drop_details is 'Removes a day''s rejected events or duplicates that are past their time; returns how many.';

create function ops.forget_visitor_keys(before date) returns bigint
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from ops.visitor_keys where day < least(before, ops.day_of(now()) - 1) returning 1
    )
    select count(*) from gone
$$;
comment on function ops.forget_visitor_keys is 'Drops the keys of days past; their hashes can no longer be linked to an address.';

revoke all on function ops.keyed_hash, ops.erased_among, ops.bury, ops.pause_work, ops.drop_partition, ops.drop_details,
    ops.forget_visitor_keys from public;
grant execute on function ops.keyed_hash, ops.bury, ops.pause_work to sillok_operator;
grant execute on function ops.erased_among to sillok_loader;
grant select on ops.tombstones to sillok_loader;
grant execute on function ops.drop_partition, ops.drop_details, ops.forget_visitor_keys to sillok_processor;
grant insert on ops.actions to sillok_processor;
grant usage on sequence ops.action_id_seq to sillok_processor;
grant select on ops.dropped_partitions, ops.discarded, ops.actions, ops.purges to sillok_processor;

grant insert on ops.discarded, ops.purges to sillok_operator;
grant select on ops.tombstones to sillok_operator;
grant delete on raw.events, clean.events, ops.dead_letters, ops.duplicates, ops.dedup, ops.rejected to sillok_operator;
grant delete on ops.identity_events to sillok_operator;
grant update (client_id, event_id, body) on ops.rejected to sillok_operator;
grant update (retired_at) on ops.slots to sillok_operator;

-- Generated by `python -m contract.generate`; do not edit.
comment on column ops.audit.action_id is 'The operator''s action it was counted in; null for other stages.';
comment on column ops.clients.removed is 'How many of its clean events an operator has erased or purged: they arrived.';
comment on column ops.actions.action_id is 'The action''s number.';
comment on column ops.actions.at is 'When its transaction began.';
comment on column ops.actions.operator is 'The operating system''s user who ran the command.';
comment on column ops.actions.command is 'Which command it was.';
comment on column ops.actions.arguments is 'What it was told, without personal data: a customer stands as a keyed hash.';
comment on column ops.actions.reason is 'Why, in the operator''s words; empty where none is asked for.';
comment on column ops.actions.result is 'What it did, in numbers.';
comment on column ops.discarded.dead_letter_id is 'The number the dead letter had.';
comment on column ops.discarded.action_id is 'The operator''s action that did it; see `ops.actions`.';
comment on column ops.discarded.stage is 'Where it had become one: `load` or `process`.';
comment on column ops.discarded.load_id is 'The load that brought it in: `ops.loads` says from which segment.';
comment on column ops.discarded.received_at is 'When the server had read the whole request, by the server''s clock.';
comment on column ops.discarded.source is 'Which app it comes from: taken from the write key, never from the body.';
comment on column ops.discarded.event_type is '행동정보유형: What kind of behaviour it is.';
comment on column ops.discarded.event_id is '이벤트ID: The event''s id; null when not even that could be read.';
comment on column ops.discarded.reason is 'Why it had become a dead letter.';
comment on column ops.tombstones.hash is 'Keyed hash of the event''s id and source; without the key it names nothing.';
comment on column ops.tombstones.action_id is 'The operator''s action that did it; see `ops.actions`.';
comment on column ops.erasure_key.only_one is 'True; there is one key.';
comment on column ops.erasure_key.inner_pad is 'The key with the inner pad of HMAC.';
comment on column ops.erasure_key.outer_pad is 'The key with the outer pad of HMAC.';
comment on column ops.purges.source is 'Which app it comes from: taken from the write key, never from the body.';
comment on column ops.purges.until is 'Events of the source received before this are gone and stay away.';
comment on column ops.purges.action_id is 'The operator''s action that did it; see `ops.actions`.';
comment on column ops.dropped_partitions.parent is 'The table it was a part of.';
comment on column ops.dropped_partitions.day is 'The Korean calendar day it held.';
comment on column ops.dropped_partitions.rows is 'How many rows it had.';
comment on column ops.dropped_partitions.hash_sum is 'Sum of their id hashes, modulo 2^64; 0 where rows have no event id.';
comment on column ops.dropped_partitions.dropped_at is 'When it was dropped.';
