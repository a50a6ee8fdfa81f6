-- The workspace of the operators' commands: temporary tables, made once per session, empty at every commit.
-- What an action moved from one outcome to another, with signed counts.
create temporary table if not exists action_moves (
    minute timestamptz not null, source text not null, event_type text not null, outcome text not null,
    events bigint not null, hash_sum numeric not null
) on commit delete rows;
-- Rows of raw.events that are cleaned again.
create temporary table if not exists again (
    part oid not null, tid tid not null, load_id bigint not null, received_at timestamptz not null,
    source text not null, event_id uuid not null, primary key (part, tid)
) on commit delete rows;
-- Events that are to go, with the day they lie on in clean where that is known.
create temporary table if not exists leaving (
    source text not null, event_id uuid not null, event_date date, primary key (source, event_id)
) on commit delete rows;
-- What a group of archived segments holds, and what has become of it.
create temporary table if not exists archived (
    load_id bigint not null, received_at timestamptz not null, source text not null, event_type text not null,
    event_id uuid not null, number integer not null, fate text
) on commit delete rows;
