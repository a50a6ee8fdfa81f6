-- Proves: every role of Sillok's exists and can do no more than its part: nobody changes what is loaded, counted or clean.
-- Grain: one row per role and table with the rights that are too many, or per role that is missing or mighty.
-- Reads: the catalogue.
-- Cost: none to speak of.
with roles (name) as (
    values ('sillok_loader'), ('sillok_processor'), ('sillok_reader')
), tables as (
    select c.oid, n.nspname as schema_name, n.nspname || '.' || c.relname as table_name, c.relacl
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('raw', 'clean', 'ops') and c.relkind in ('r', 'p', 'v') and not c.relispartition
), held as (
    select r.name as role, t.schema_name, t.table_name, p.privilege
    from roles r
    join pg_roles on pg_roles.rolname = r.name
    cross join tables t
    cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) p (privilege)
    where has_table_privilege(pg_roles.oid, t.oid, p.privilege)
), too_much as (
    select role, table_name, privilege from held
    where role = 'sillok_reader' and (schema_name <> 'clean' or privilege <> 'SELECT')
    union all
    select role, table_name, privilege from held
    where role = 'sillok_loader'
        and (
            schema_name = 'clean' or privilege in ('DELETE', 'TRUNCATE')
            or (privilege = 'UPDATE' and table_name not in ('ops.slots', 'ops.clients'))
            or (privilege = 'SELECT' and schema_name = 'raw')
        )
    union all
    select role, table_name, privilege from held
    where role = 'sillok_processor'
        and (
            privilege = 'TRUNCATE'
            or (privilege <> 'SELECT' and (schema_name = 'raw' or table_name in ('ops.loads', 'ops.slots', 'ops.clients')))
            or (privilege in ('UPDATE', 'DELETE') and table_name in (
                'clean.events', 'ops.audit', 'ops.runs', 'ops.processed', 'ops.dedup', 'ops.duplicates',
                'ops.dead_letters', 'ops.rejected'))
        )
    union all
    select 'public', t.table_name, a.privilege_type
    from tables t
    cross join aclexplode(t.relacl) a
    where a.grantee = 0
)
select role, table_name as "on", string_agg(privilege, ' ' order by privilege) as rights
from too_much
group by role, table_name
union all
select r.name, null, 'the role is missing: run `sillok migrate`'
from roles r
where not exists (select from pg_roles p where p.rolname = r.name)
union all
select p.rolname, null, 'the role is mightier than its part: superuser, createrole, createdb, replication or bypassrls'
from pg_roles p
join roles r on r.name = p.rolname
where p.rolsuper or p.rolcreaterole or p.rolcreatedb or p.rolreplication or p.rolbypassrls
