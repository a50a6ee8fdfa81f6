-- What the processor has still to do and how far it is, without reading the whole ledger each time; and the
-- deduplication state in weeks.
--
-- Both new tables follow from ops.loads and ops.processed. Triggers keep them so, whoever writes those: a load waits
-- from the transaction that wrote its ledger row to the one that claims it, and again if its claim is taken back.

create table ops.waiting (
    load_id bigint primary key references ops.loads (load_id) on update cascade on delete cascade,
    loaded bigint not null
);
comment on table ops.waiting is 'The loads that no run has cleaned yet: ops.loads without ops.processed.';
comment on column ops.waiting.load_id is 'The load that brought it in: `ops.loads` says from which segment.';
comment on column ops.waiting.loaded is 'How many rows of `raw.events` it has.';

create table ops.finished (
    spool_id uuid not null,
    slot integer not null,
    segment bigint not null,
    primary key (spool_id, slot)
);
comment on table ops.finished is 'Per slot, a segment up to which all is loaded and processed: ops.slot_progress counts on from there.';
comment on column ops.finished.spool_id is 'The spool folder, by the random id it was given when it was made.';
comment on column ops.finished.slot is 'The writer''s slot within the spool: one per collector process.';
comment on column ops.finished.segment is 'Every segment up to this one is loaded and processed.';

create function ops.keep_waiting() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_table_name = 'loads' then
        insert into ops.waiting (load_id, loaded) values (new.load_id, new.loaded);
    elsif tg_op = 'INSERT' then
        delete from ops.waiting where load_id = new.load_id;
    else
        insert into ops.waiting (load_id, loaded) select load_id, loaded from ops.loads where load_id = old.load_id;
        delete from ops.finished f using ops.loads l
        where l.load_id = old.load_id and f.spool_id = l.spool_id and f.slot = l.slot and f.segment >= l.segment;
    end if;
    return null;
end
$$;
comment on function ops.keep_waiting is 'Keeps ops.waiting what ops.loads and ops.processed say, and takes ops.finished back where a claim is.';
revoke all on function ops.keep_waiting from public;

create trigger waits after insert on ops.loads for each row execute function ops.keep_waiting();
create trigger waits_no_more after insert or delete on ops.processed for each row execute function ops.keep_waiting();

insert into ops.waiting (load_id, loaded)
select load_id, loaded from ops.loads l where not exists (select from ops.processed p where p.load_id = l.load_id);

create or replace view ops.slot_progress as
select
    s.spool_id,
    s.slot,
    s.last_segment,
    s.retired_at,
    p.finished_segment,
    p.until,
    p.final and p.finished_segment = s.last_segment as is_final
from ops.slots s
left join ops.finished f on f.spool_id = s.spool_id and f.slot = s.slot
left join lateral (
    select l.segment as finished_segment, l.until, l.final
    from ops.loads l
    where l.spool_id = s.spool_id and l.slot = s.slot and l.segment >= coalesce(f.segment, 0)
        and l.segment < coalesce(
            -- The first segment that is missing or not processed. Asked for by order and limit, the few rows beyond
            -- the mark are read along the key, and the ledger before it not at all.
            (
                select gap.segment from (
                    select l2.segment,
                        l2.segment - lag(l2.segment, 1, coalesce(f.segment, 0)) over (order by l2.segment) as step,
                        (select p2.run_id from ops.processed p2 where p2.load_id = l2.load_id) is null as unprocessed
                    from ops.loads l2
                    where l2.spool_id = s.spool_id and l2.slot = s.slot and l2.segment > coalesce(f.segment, 0)
                ) gap
                where gap.step <> 1 or gap.unprocessed
                order by gap.segment
                limit 1
            ),
            9223372036854775807
        )
    order by l.segment desc
    limit 1
) p on true;

-- The deduplication state is looked up in every partition: in weeks that are three or four, not fifteen and more. A
-- partition is named after its last day, so that what may be dropped by its name holds nothing younger.
create function ops.ensure_partition(parent regclass, column_name text, first_day date, last_day date) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    schema_name text;
    parent_name text;
    child text;
    range_start text := first_day || ' 00:00+09';
    range_end text := (last_day + 1) || ' 00:00+09';
begin
    select n.nspname, c.relname into schema_name, parent_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = parent;
    child := parent_name || to_char(last_day, '_YYYYMMDD');
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
    if (select atttypid = 'date'::regtype from pg_attribute where attrelid = parent and attname = column_name) then
        range_start := first_day::text;
        range_end := (last_day + 1)::text;
    end if;
    -- Made on its own and attached: the parent then needs no ACCESS EXCLUSIVE lock.
    execute format('create table %I.%I (like %s including all)', schema_name, child, parent);
    execute format(
        'alter table %I.%I add constraint partition_bound check (%I is not null and %I >= %L and %I < %L)',
        schema_name, child, column_name, column_name, range_start, column_name, range_end);
    execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)',
        parent, schema_name, child, range_start, range_end);
    execute format('alter table %I.%I drop constraint partition_bound', schema_name, child);
end
$$;
comment on function ops.ensure_partition is 'Makes the partition of some Korean days, named after the last, unless it exists.';
revoke all on function ops.ensure_partition from public;

create or replace function ops.ensure_daily_partition(parent regclass, column_name text, day date) returns void
    language sql set search_path = pg_catalog, pg_temp
as $$
    select ops.ensure_partition(parent, column_name, day, day)
$$;

create or replace function ops.ensure_dedup_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- A processor that was away must find the days raw still has, whenever it comes back.
    if day not between current_date - 400 and current_date + 8 then
        raise exception 'no partition of ops.dedup for %: it is too far from today, check the clocks', day;
    end if;
    perform ops.ensure_partition('ops.dedup', 'arrived', monday, monday + 6)
    from (select date_trunc('week', day)::date as monday) week;
end
$$;
comment on function ops.ensure_dedup_partition is 'Makes the partition of ops.dedup for an arrival day''s week, named after its Sunday.';

-- What was remembered by days is remembered by weeks.
do $$
declare
    child regclass;
begin
    create temporary table kept on commit drop as select * from ops.dedup;
    for child in select inhrelid from pg_inherits where inhparent = 'ops.dedup'::regclass loop
        execute format('drop table %s', child);
    end loop;
    perform ops.ensure_partition('ops.dedup', 'arrived', monday, monday + 6)
    from (select distinct date_trunc('week', arrived)::date as monday from kept) weeks;
    insert into ops.dedup select * from kept;
end
$$;

grant select on ops.waiting, ops.finished to sillok_processor;
grant insert, update on ops.finished to sillok_processor;
grant select on ops.migrations to sillok_processor;
