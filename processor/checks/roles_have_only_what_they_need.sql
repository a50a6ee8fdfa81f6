-- Proves: every role of Sillok's exists and can do no more than its part: nobody changes what is loaded, counted or clean.
-- Grain: one row per role and table with the rights that are too many, or per role that is missing or mighty.
-- Reads: the catalogue.
-- Cost: none to speak of.
with roles (name) as (
    values ('sillok_loader'), ('sillok_processor'), ('sillok_operator'), ('sillok_reader')
), tables as (
    -- A partition can be granted by itself; what holds for the whole holds for it.
    select c.oid, n.nspname as schema_name, n.nspname || '.' || coalesce(whole.relname, c.relname) as table_name,
        n.nspname || '.' || c.relname as shown, c.relacl
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_class whole on c.relispartition and whole.oid = pg_partition_root(c.oid)
    where n.nspname in ('raw', 'clean', 'ops') and c.relkind in ('r', 'p', 'v')
), held as (
    select r.name as role, t.schema_name, t.table_name, t.shown, p.privilege
    from roles r
    join pg_roles on pg_roles.rolname = r.name
    cross join tables t
    cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) p (privilege)
    where has_table_privilege(pg_roles.oid, t.oid, p.privilege)
), too_much as (
    select role, shown, privilege from held
    where role = 'sillok_reader' and (schema_name <> 'clean' or privilege <> 'SELECT')
    union all
    select role, shown, privilege from held
    where role = 'sillok_loader'
        and (
            schema_name = 'clean' or privilege in ('DELETE', 'TRUNCATE')
            or (privilege = 'UPDATE' and table_name not in ('ops.slots', 'ops.clients'))
            or (privilege = 'SELECT' and schema_name = 'raw')
        )
    union all
    select role, shown, privilege from held
    where role = 'sillok_processor'
        and (
            privilege = 'TRUNCATE'
            or (privilege <> 'SELECT' and (schema_name = 'raw' or table_name in ('ops.loads', 'ops.slots', 'ops.clients')))
            or (privilege in ('UPDATE', 'DELETE') and table_name in (
                'clean.events', 'ops.audit', 'ops.runs', 'ops.processed', 'ops.dedup', 'ops.duplicates',
                'ops.dead_letters', 'ops.rejected', 'ops.actions'))
        )
    union all
    select role, shown, privilege from held
    where role = 'sillok_operator'
        and (
            privilege = 'TRUNCATE'
            or (privilege = 'UPDATE' and table_name not in (
                'clean.channels', 'clean.page_views', 'clean.pages', 'clean.sessions', 'clean.user_agents',
                'ops.clients', 'ops.finished', 'ops.identity_events', 'ops.rule_files', 'ops.slots'))
            or (privilege = 'DELETE' and table_name not in (
                'clean.channels', 'clean.events', 'clean.identities', 'clean.page_views', 'clean.sessions',
                'clean.user_agents', 'ops.dead_letters', 'ops.dedup', 'ops.duplicates', 'ops.identity_events',
                'ops.rejected', 'raw.events'))
        )
    union all
    select 'public', t.shown, a.privilege_type
    from tables t
    cross join aclexplode(t.relacl) a
    where a.grantee = 0
)
select role, shown as "on", string_agg(privilege, ' ' order by privilege) as rights
from too_much
group by role, shown
union all
select r.name, null, 'the role is missing: run `sillok migrate`'
from roles r
where not exists (select from pg_roles p where p.rolname = r.name)
union all
select p.rolname, null, 'the role is mightier than its part: superuser, createrole, createdb, replication or bypassrls'
from pg_roles p
join roles r on r.name = p.rolname
where p.rolsuper or p.rolcreaterole or p.rolcreatedb or p.rolreplication or p.rolbypassrls
