create or replace function dispatch.note_turns()
returns trigger
language plpgsql
volatile
-- definer: whoever may suspend a mechanic need not be allowed to write requests
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- A trigger of the marketplace's may suspend another within this one's statement.
    v_leaving constant text := coalesce(current_setting('dispatch.leaving', true), '');
begin
    -- For dispatch.note_silence: no row that this statement changes may be changed by its trigger.
    perform set_config('dispatch.leaving', 'yes', true);
    perform dispatch.write_turns(array[old.id]);
    perform set_config('dispatch.leaving', v_leaving, true);
    return case tg_op when 'DELETE' then old else new end;
end;
$$;

comment on function dispatch.note_turns() is
'Trigger: before it changes whether a mechanic can be asked, whose turn came by the clock until '
'now is written, so that it stays what it was.';
revoke all on function dispatch.note_turns() from public, anon, authenticated, service_role;
