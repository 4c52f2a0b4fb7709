-- From here on it asks, by names that are pg_catalog's or have their schema. With public in the
-- search_path a function there whose arguments fit better, as its own format(text, text), would be
-- the one that is called.
set local search_path = pg_catalog, pg_temp;
