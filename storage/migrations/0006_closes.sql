-- The daily closes, and what the books need to look up the counts of a load and of a run.

create table ops.closes (
    kind text not null,
    day date not null,
    revision integer not null,
    received_until timestamptz not null,
    digest text not null,
    closed_at timestamptz not null default now(),
    closed_by text not null default session_user,
    primary key (kind, day, revision),
    constraint kind_is_known check (kind in ('received_day', 'event_day')),
    constraint a_received_day_is_closed_once check (kind = 'event_day' or revision = 0)
);
comment on table ops.closes is 'The daily closes: made once when the books of a day were final and balanced, never changed. A later close of an event day is a restatement.';

create table ops.close_counts (
    kind text not null,
    day date not null,
    revision integer not null,
    source text not null,
    event_type text not null,
    account text not null,
    events bigint not null,
    hash_sum numeric(20) not null,
    content_sum numeric(20) not null,
    primary key (kind, day, revision, source, event_type, account),
    foreign key (kind, day, revision) references ops.closes (kind, day, revision)
);
comment on table ops.close_counts is 'What a close found, by source, event type and account.';

create function ops.refuse_change() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%.% only grows: what was closed is not changed; a later close restates it', tg_table_schema, tg_table_name;
end
$$;
comment on function ops.refuse_change is 'Refuses update, delete and truncate, also to the tables'' owner.';
create trigger closes_only_grow before update or delete or truncate on ops.closes
    for each statement execute function ops.refuse_change();
create trigger close_counts_only_grow before update or delete or truncate on ops.close_counts
    for each statement execute function ops.refuse_change();

-- The books hold each load's and each run's counts together, however their minutes lie.
create index audit_load on ops.audit (load_id) where load_id is not null;
create index audit_run on ops.audit (run_id) where run_id is not null;
create index audit_operator on ops.audit (counted_at) where stage = 'operator';
create index processed_run on ops.processed (run_id);
create index loads_until on ops.loads using brin (until);

grant select, insert on ops.closes, ops.close_counts to sillok_processor;
grant select on ops.processed, ops.runs, ops.closes, ops.close_counts to sillok_processor;

comment on column ops.closes.kind is '`received_day`: the day of `received_at`; `event_day`: the day of `event_time`.';
comment on column ops.closes.day is 'The Korean calendar day that was closed.';
comment on column ops.closes.revision is '0 for the first close of the day; every restatement of an event day is one more.';
comment on column ops.closes.received_until is 'The watermark at the close: everything received before it is in the figures.';
comment on column ops.closes.digest is 'SHA-256 of the close and its counts: to be kept elsewhere, and held against them later.';
comment on column ops.closes.closed_at is 'When the close was made.';
comment on column ops.closes.closed_by is 'The database user who made it.';
comment on column ops.close_counts.kind is 'The close it belongs to: `received_day` or `event_day`.';
comment on column ops.close_counts.day is 'The day of the close it belongs to.';
comment on column ops.close_counts.revision is 'The revision of the close it belongs to.';
comment on column ops.close_counts.source is 'Which app it comes from: taken from the write key, never from the body.';
comment on column ops.close_counts.event_type is '행동정보유형: Kind of behaviour; empty where the stage does not know it.';
comment on column ops.close_counts.account is 'What was counted: `stage.outcome` for a stage''s own count, `table.…` for the rows that a table held.';
comment on column ops.close_counts.events is 'How many.';
comment on column ops.close_counts.hash_sum is 'Sum of their id hashes, modulo 2^64.';
comment on column ops.close_counts.content_sum is 'Sum of the hashes of the rows'' contents, modulo 2^64; 0 for accounts that are no table''s.';
