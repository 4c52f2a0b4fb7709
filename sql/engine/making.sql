-- From here on it makes things: event triggers of theirs find what they name without a schema. What
-- takes any type (format, unnest) is called with its own.
set local search_path to default;
