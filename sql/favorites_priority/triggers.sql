create or replace trigger mechanics_release_windows
after update on public.mechanics
for each row when (old.status = 'approved' and new.status is distinct from 'approved')
execute function dispatch.release_windows();
