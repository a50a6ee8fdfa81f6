-- Makes clean.pages say what the page dictionary says; codes that left the file stay, marked.
-- Grain: one row per page code.
-- Reads: the file's columns, given as arrays.   Writes: clean.pages.
-- Safe to repeat: yes; a row that says the same already is not touched.
with given as (
    select page_code, page_name, menu_group
    from unnest(%(codes)s::text[], %(names)s::text[], %(groups)s::text[]) as file (page_code, page_name, menu_group)
), removed as (
    update clean.pages p set removed_at = now()
    where p.removed_at is null and not exists (select from given g where g.page_code = p.page_code)
)
insert into clean.pages as p (page_code, page_name, menu_group)
select page_code, page_name, menu_group from given
on conflict (page_code) do update set
    page_name = excluded.page_name, menu_group = excluded.menu_group, changed_at = now(), removed_at = null
where p.page_name <> excluded.page_name or p.menu_group is distinct from excluded.menu_group
    or p.removed_at is not null
