-- From here on the engine reads the columns.
do $$
begin
    perform dispatch.bind_requests(true);
end;
$$;
