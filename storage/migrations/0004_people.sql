-- clean.page_views and clean.identities, and what the processor remembers to write the latter.

create table clean.page_views (
    event_date date not null,
    entered_at timestamptz not null,
    source text not null,
    session_id text not null,
    event_id uuid not null,
    nth integer not null,
    is_entry boolean not null,
    is_exit boolean not null,
    visitor_id text not null,
    anonymous_id text,
    customer_id text,
    is_test boolean not null,
    is_bot boolean not null,
    channel text not null,
    page_url text,
    page_host text,
    page_path text,
    page_code text,
    page_name text,
    previous_page_url text,
    previous_page_code text,
    previous_page_name text,
    next_page_url text,
    next_page_code text,
    next_page_name text,
    dwell_ms bigint,
    clicks integer not null,
    errors integer not null,
    other_events integer not null
) partition by range (event_date);
comment on table clean.page_views is 'One row per page view, in its place in the session. An event counts for the page view before it of the same instance.';

-- The one index: a touched session's rows are found by it, by the processor and by analysts. A query of a day reads the
-- day's partition; there is no key, for the rows follow from clean.events, where each event is once.
create index page_views_session on clean.page_views (session_id);

-- btree_gist is a contrib extension; a range over text has a GiST class without it, and `[a,a]` is equality.
create type ops.text_range as range (subtype = text, collation = "C");
comment on type ops.text_range is 'Ranges of texts: single-value ones stand for equality in an exclusion constraint.';

create table clean.identities (
    source text not null,
    anonymous_id text not null,
    customer_id text not null,
    valid tstzrange not null,
    known_from timestamptz not null,
    is_backfilled boolean not null,
    is_shared boolean not null,
    ended_by text,
    -- Also how the processor finds a device's rows.
    primary key (source, anonymous_id, valid),
    constraint one_customer_at_a_time exclude using gist (
        ops.text_range(source, source, '[]') with &&,
        ops.text_range(anonymous_id, anonymous_id, '[]') with &&,
        valid with &&
    ),
    constraint valid_is_a_time check (not isempty(valid) and lower(valid) <= known_from),
    constraint end_is_known check (ended_by in ('logout', 'other_customer')),
    constraint shared_is_not_backfilled check (not (is_shared and is_backfilled))
);
comment on table clean.identities is 'Which customer owned which anonymous_id, from when to when: join on source, anonymous_id and event_time <@ valid.';

create table ops.identity_events (
    source text not null,
    anonymous_id text not null,
    kind text not null,
    period timestamptz not null,
    customer_id text not null,
    event_time timestamptz not null,
    primary key (source, anonymous_id, kind, period, customer_id),
    constraint kind_is_known check (kind in ('seen', 'login', 'logout', 'named'))
);
comment on table ops.identity_events is 'What clean.identities follows from: each device''s first event, its logins and logouts, and when a customer was named.';

create or replace function ops.ensure_clean_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if day not between current_date - 800 and current_date + 8 then
        raise exception 'no partition of clean.events for %: it is too far from today, check the clocks', day;
    end if;
    perform ops.ensure_daily_partition('clean.events', 'event_date', day);
    perform ops.ensure_daily_partition('clean.page_views', 'event_date', day);
end
$$;
comment on function ops.ensure_clean_partition is 'Makes a day''s partitions of clean.events and clean.page_views.';

-- A late event of a session that began before this migration finds its days.
select ops.ensure_daily_partition('clean.page_views', 'event_date', to_date(right(c.relname, 8), 'YYYYMMDD'))
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'clean.events'::regclass;

grant select, insert, update, delete on clean.page_views to sillok_processor;
grant select, insert, delete on clean.identities to sillok_processor;
grant select, insert, update on ops.identity_events to sillok_processor;
grant select on clean.page_views, clean.identities to sillok_reader;

-- What every column means, as contract/columns.py has it.
comment on column clean.page_views.event_date is 'Korean calendar day of `entered_at`: the partition key, what a query filters by.';
comment on column clean.page_views.entered_at is 'When the page was viewed: the `event_time` of its event.';
comment on column clean.page_views.source is 'Which app it comes from: taken from the write key, never from the body.';
comment on column clean.page_views.session_id is '세션ID: The session it belongs to; unique per source.';
comment on column clean.page_views.event_id is '이벤트ID: UUIDv7 made on the client; the same on every retry.';
comment on column clean.page_views.nth is 'Its place among the session''s page views, from 1.';
comment on column clean.page_views.is_entry is 'True for the session''s first page view.';
comment on column clean.page_views.is_exit is 'True for the session''s last page view.';
comment on column clean.page_views.visitor_id is 'The session''s visitor, as in `clean.sessions`.';
comment on column clean.page_views.anonymous_id is '방문자ID: The device or browser.';
comment on column clean.page_views.customer_id is '고객ID: The customer after login; may be a keyed hash made by the app.';
comment on column clean.page_views.is_test is 'True for what came with a write key of kind `test`.';
comment on column clean.page_views.is_bot is 'True when the user agent says that it is a machine.';
comment on column clean.page_views.channel is 'How the visitor came to this page; `internal` from another page of the site or app.';
comment on column clean.page_views.page_url is '페이지URL: Query values are dropped except an allow-list.';
comment on column clean.page_views.page_host is 'Host of the page''s URL, in lower case.';
comment on column clean.page_views.page_path is 'Path of the page''s URL, without its query.';
comment on column clean.page_views.page_code is '페이지코드: The app''s code of the page, e.g. `M0405`.';
comment on column clean.page_views.page_name is '페이지명: The page''s name.';
comment on column clean.page_views.previous_page_url is 'URL of the session''s page view before; null for the first.';
comment on column clean.page_views.previous_page_code is 'Code of the page before.';
comment on column clean.page_views.previous_page_name is 'Name of the page before.';
comment on column clean.page_views.next_page_url is 'URL of the session''s next page view; null for the last.';
comment on column clean.page_views.next_page_code is 'Code of the next page.';
comment on column clean.page_views.next_page_name is 'Name of the next page.';
comment on column clean.page_views.dwell_ms is 'Milliseconds until the next page view or the last event on this one, whichever is later; null when neither is.';
comment on column clean.page_views.clicks is 'Clicks on it: those after it and before the next page view of the same instance.';
comment on column clean.page_views.errors is 'Errors on it.';
comment on column clean.page_views.other_events is 'Events on it that are neither clicks nor errors, the page view itself left out.';
comment on column clean.identities.source is 'Which app it comes from: taken from the write key, never from the body.';
comment on column clean.identities.anonymous_id is '방문자ID: The device or browser.';
comment on column clean.identities.customer_id is '고객ID: The customer whose device it was.';
comment on column clean.identities.valid is 'From when (inclusive) to when (exclusive); without an end while nobody else is known.';
comment on column clean.identities.known_from is 'When the customer first logged in or was named in this time.';
comment on column clean.identities.is_backfilled is 'True when `valid` begins at the device''s first event instead: before its only customer was known.';
comment on column clean.identities.is_shared is 'True when more than one customer was ever known on the device.';
comment on column clean.identities.ended_by is '`logout` or `other_customer`; null while it lasts.';
comment on column ops.identity_events.source is 'Which app it comes from: taken from the write key, never from the body.';
comment on column ops.identity_events.anonymous_id is '방문자ID: The device or browser.';
comment on column ops.identity_events.kind is '`login`, `logout`; `named`, the first event of ten minutes to name the customer; `seen`, the device''s first.';
comment on column ops.identity_events.period is 'The ten minutes it is the first event of; the moment of a login or logout.';
comment on column ops.identity_events.customer_id is '고객ID: The customer that was named; empty when none was.';
comment on column ops.identity_events.event_time is 'When it happened.';
