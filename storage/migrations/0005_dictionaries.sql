-- What the processor has parsed, by distinct value; the page dictionary; and the operators' files as last understood.

create table clean.user_agents (
    user_agent_key uuid primary key,
    user_agent text not null,
    device_type text not null,
    os_name text,
    os_version text,
    browser_name text,
    browser_version text,
    is_bot boolean not null,
    rules_version text not null,
    last_seen date not null
);
comment on table clean.user_agents is 'One row per distinct user agent of the last 30 days: what was read out of it, once.';

create table clean.channels (
    channel_key uuid primary key,
    page_host text,
    page_path text,
    referrer_host text,
    platform text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    channel text not null,
    rules_version text not null,
    last_seen date not null
);
comment on table clean.channels is 'One row per distinct set of page URL, referrer, campaign and platform of the last 30 days: its parts and the channel the rules give it. Clicks with an id of their own are not kept.';

create table clean.pages (
    page_code text primary key,
    page_name text not null,
    menu_group text,
    changed_at timestamptz not null default now(),
    removed_at timestamptz
);
comment on table clean.pages is 'The page dictionary, from the firm''s own file: what a page code is called and which menu it belongs to.';

create table ops.rule_files (
    name text primary key,
    sha256 bytea not null,
    content bytea not null,
    loaded_at timestamptz not null default now()
);
comment on table ops.rule_files is 'The last good version of each file that operators edit: in force while the file itself is broken.';

grant select, insert, update, delete on clean.user_agents, clean.channels to sillok_processor;
grant select, insert, update on clean.pages, ops.rule_files to sillok_processor;
grant select on clean.user_agents, clean.channels, clean.pages to sillok_reader;

-- What every column means: the texts of contract/columns.py, held to it by a test.
comment on column clean.user_agents.user_agent_key is '`md5(user_agent)::uuid`: finds the row of an event''s user agent.';
comment on column clean.user_agents.user_agent is '사용자에이전트: The user agent, its first 512 characters.';
comment on column clean.user_agents.device_type is '`desktop`, `mobile`, `tablet`, `bot` or `other`, from the user agent alone.';
comment on column clean.user_agents.os_name is 'OS명: The operating system, from the user agent alone.';
comment on column clean.user_agents.os_version is 'OS버전: Its version.';
comment on column clean.user_agents.browser_name is 'Browser, from the user agent.';
comment on column clean.user_agents.browser_version is 'The browser''s version.';
comment on column clean.user_agents.is_bot is 'True when the user agent says that it is a machine.';
comment on column clean.user_agents.rules_version is 'Which rules and which code made the row; others make it anew.';
comment on column clean.user_agents.last_seen is 'The last Korean calendar day on which it was looked up.';
comment on column clean.channels.channel_key is 'Hash of what the row was made of: page URL, referrer, campaign, platform.';
comment on column clean.channels.page_host is 'Host of the page''s URL, in lower case.';
comment on column clean.channels.page_path is 'Path of the page''s URL, without its query.';
comment on column clean.channels.referrer_host is 'Host of the page before, in lower case.';
comment on column clean.channels.platform is '플랫폼: `web`, `android`, `ios` or `server`.';
comment on column clean.channels.utm_source is 'UTM소스: Campaign source.';
comment on column clean.channels.utm_medium is 'UTM매체: Campaign medium.';
comment on column clean.channels.utm_campaign is 'UTM캠페인: Campaign name.';
comment on column clean.channels.utm_term is 'UTM검색어: Campaign search term.';
comment on column clean.channels.utm_content is 'UTM콘텐츠: Campaign content.';
comment on column clean.channels.channel is 'How the visitor came: `organic_search`, `paid_search`, `direct` …, by the operator''s rules.';
comment on column clean.channels.rules_version is 'Which rules and which code made the row; others make it anew.';
comment on column clean.channels.last_seen is 'The last Korean calendar day on which it was looked up.';
comment on column clean.pages.page_code is '페이지코드: The app''s code of the page, e.g. `M0405`.';
comment on column clean.pages.page_name is '페이지명: What the page is called; `clean.events.page_name` has it where the app says no name.';
comment on column clean.pages.menu_group is 'The menu the page belongs to; null when the file names none.';
comment on column clean.pages.changed_at is 'When the row was made or last changed.';
comment on column clean.pages.removed_at is 'When the code left the file: old events keep its name, new ones get none; else null.';
comment on column ops.rule_files.name is 'The setting that names the file: `channel_rules`, `page_dictionary` or `geoip_file`.';
comment on column ops.rule_files.sha256 is 'SHA-256 of the content.';
comment on column ops.rule_files.content is 'The file as it was read.';
comment on column ops.rule_files.loaded_at is 'When this version was first taken.';
