-- What the processor has still to do and how far it is, without reading the whole ledger each time.
--
-- Both tables follow from ops.loads and ops.processed. Triggers keep them so, whoever writes those: a load waits
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
            -- the first segment that is missing or not processed
            (
                select min(gap.segment) from (
                    select l2.segment,
                        l2.segment - lag(l2.segment, 1, coalesce(f.segment, 0)) over (order by l2.segment) as step,
                        p2.load_id is null as unprocessed
                    from ops.loads l2
                    left join ops.processed p2 using (load_id)
                    where l2.spool_id = s.spool_id and l2.slot = s.slot and l2.segment > coalesce(f.segment, 0)
                ) gap
                where gap.step <> 1 or gap.unprocessed
            ),
            9223372036854775807
        )
    order by l.segment desc
    limit 1
) p on true;

-- Raw has no older days than these, and a processor that was away must find its days whenever it comes back.
create or replace function ops.ensure_dedup_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if day not between current_date - 400 and current_date + 8 then
        raise exception 'no partition of ops.dedup for %: it is too far from today, check the clocks', day;
    end if;
    perform ops.ensure_daily_partition('ops.dedup', 'arrived', day);
end
$$;

grant select on ops.waiting, ops.finished to sillok_processor;
grant insert, update on ops.finished to sillok_processor;
grant select on ops.migrations to sillok_processor;
