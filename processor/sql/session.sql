-- The processor's workspace: memory for sorts of a whole batch, and temporary tables, made once per session,
-- empty at every commit.
set work_mem = '64MB';
-- What a batch costs is its rows, not its expressions: compiling these would take longer than the batch.
set jit = off;
-- The batch's distinct values with what was read out of them; a key stands with those the dictionaries are to keep.
-- `full_` is what the event says of its campaign, else what its URL says.
create temporary table if not exists batch_urls (
    channel_key uuid, page_url text not null, referrer text not null, utm_source text not null,
    utm_medium text not null, utm_campaign text not null, ad_click_id text not null, platform text not null,
    page_host text, page_path text, referrer_host text, channel text not null,
    full_source text, full_medium text, full_campaign text, full_term text, full_content text, full_click_id text
) on commit delete rows;
create temporary table if not exists batch_user_agents (
    user_agent_key uuid, user_agent text not null, device_type text not null, os_name text, os_version text,
    browser_name text, browser_version text, is_bot boolean not null
) on commit delete rows;
create temporary table if not exists batch_addresses (ip inet not null, country text, region text)
    on commit delete rows;
-- Rows of the batch that will not be clean, and why; `conflicts` is null where the row is neither a duplicate nor a
-- conflict: it was erased, or is not meant by what is done again.
create temporary table if not exists batch_repeats (
    part oid not null, tid tid not null, load_id bigint not null, received_at timestamptz not null,
    source text not null, event_type text not null, event_id uuid not null,
    first_received_at timestamptz not null, conflicts boolean
) on commit delete rows;
-- Rows of the batch without a session of the SDK's, with the session derived for them, and the earlier rows it may
-- change, with what their visitor brought along: since when the 12 hours count, and which customer was there.
create temporary table if not exists batch_derived (
    source text not null, visitor_id text not null, event_id uuid not null, event_time timestamptz not null,
    customer_id text, session_id text, is_new boolean not null, old_session_id text, event_date date not null,
    carried_start timestamptz, carried_customer_id text
) on commit delete rows;
-- Rows of the batch without a session of the SDK's that begin none: they join one that is there, or have none.
create temporary table if not exists batch_belonging (
    source text not null, visitor_id text not null, event_time timestamptz not null
) on commit delete rows;
-- The sessions that what belongs left or joined, by the day of the event.
create temporary table if not exists batch_moved (
    source text not null, session_id text not null, event_date date not null
) on commit delete rows;
-- The rows the run wrote into clean.events, as far as what follows needs them.
create temporary table if not exists batch_written (
    source text not null, session_id text, event_date date not null, event_time timestamptz not null,
    event_type text not null, anonymous_id text, customer_id text
) on commit delete rows;
-- The sessions that are written again, with the days their events lie on; `is_known` when they have been written before,
-- and then whose they were, and from when to when their visitor did something.
create temporary table if not exists batch_sessions (
    session_no integer primary key, source text not null, session_id text not null, visitor_id text,
    first_date date not null, last_date date not null, is_known boolean not null,
    known_visitor_id text, known_from timestamptz, known_until timestamptz
) on commit delete rows;
-- Their page views, and what instances did before their first; `nth` is the first event's place in the session, `tid` its
-- place in the day's partition of clean.events.
create temporary table if not exists batch_pages (
    session_no integer not null, nth integer not null, is_view boolean not null, event_date date not null, tid tid not null,
    entered_at timestamptz not null, last_at timestamptz, started_at timestamptz not null, ended_at timestamptz not null,
    active_from timestamptz, active_until timestamptz,
    events integer not null, clicks integer not null, errors integer not null, is_derived boolean not null,
    is_test boolean not null, is_bot boolean not null, anonymous_id text, customer_id text, exit_menu text, left_at timestamptz,
    app_version text
) on commit delete rows;
-- The devices of which the run says something new, and whose they are.
create temporary table if not exists batch_devices (source text not null, anonymous_id text not null) on commit delete rows;
create temporary table if not exists batch_identities (like clean.identities) on commit delete rows;
-- What the batch's statements counted; written into the books at its end.
create temporary table if not exists batch_counts (
    stage text not null, run_id bigint not null, minute timestamptz not null, source text not null,
    event_type text not null, outcome text not null, events bigint not null, hash_sum numeric not null
) on commit delete rows;
