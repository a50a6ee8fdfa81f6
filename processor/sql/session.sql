-- The processor's workspace: memory for sorts of a whole batch, and temporary tables, made once per session,
-- empty at every commit.
set work_mem = '64MB';
create temporary table if not exists batch_urls (
    page_url text not null, referrer text not null, utm_source text not null, utm_medium text not null,
    utm_campaign text not null, ad_click_id text not null, platform text not null,
    page_host text, page_path text, referrer_host text, channel text not null,
    lifted_source text, lifted_medium text, lifted_campaign text, lifted_term text, lifted_content text,
    lifted_click_id text
) on commit delete rows;
create temporary table if not exists batch_user_agents (
    user_agent text not null, device_type text not null, os_name text, os_version text,
    browser_name text, browser_version text, is_bot boolean not null
) on commit delete rows;
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
create temporary table if not exists batch_sessions (
    source text not null, session_id text not null, visitor_id text, first_date date not null, last_date date not null
) on commit delete rows;
-- What the batch's statements counted; written into the books at its end.
create temporary table if not exists batch_counts (
    stage text not null, run_id bigint not null, minute timestamptz not null, source text not null,
    event_type text not null, outcome text not null, events bigint not null, hash_sum numeric not null
) on commit delete rows;
