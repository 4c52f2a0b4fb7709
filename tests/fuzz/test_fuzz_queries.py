"""Whatever PostgREST's query language can say: columns, embedding, filters, orders, headers."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.callers import PRIVATE, Caller

RELATIONS = [
    *("session_requests", "mechanics", "customer_favorites", "service_plans"),
    *("users", "auth.users", "request_events", "dispatch.request_events", "stripe_events"),
    *("metrics", "pg_roles"),
]
LISTS = [
    "rpc/list_open_session_requests",
    "rpc/list_session_request_events",
    "rpc/list_favorite_mechanics",
    "rpc/sweep",
]
COLUMNS = [
    *PRIVATE,
    *("*", "id", "customer_id", "mechanic_id", "preferred_mechanic_id", "status", "plan_code"),
    *("code", "title", "price_cents", "display_name", "is_online", "email", "encrypted_password"),
    *("topics", "payload", "request_id", "event_id"),
]
HINTS = [
    *("", "!inner", "!left", "!customer_id", "!mechanic_id", "!customer_favorites"),
    "!session_requests_preferred_mechanic_id_fkey",
]
OPERATORS = [
    *("eq", "neq", "gt", "lte", "like", "ilike", "match", "imatch", "in", "is", "isdistinct"),
    *("fts", "plfts", "cs", "cd", "ov", "sl"),
]

columns, relations = st.sampled_from(COLUMNS), st.sampled_from(RELATIONS)
texts = st.text(max_size=8) | st.sampled_from(
    ["Z*", "%", "null", "true", "(1,2)", "{a}", "[1,2)", "1", "now", "'; drop table mechanics; --"]
)
items = st.recursive(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "", "a:"]),
        columns,
        st.sampled_from(["", "", "", "::text", "::jsonb", "->>door", "->0", ".count()", ".max()"]),
    ),
    lambda inner: st.builds(
        "{}{}{}({})".format,
        st.sampled_from(["", "...", "b:"]),
        relations,
        st.sampled_from(HINTS),
        st.lists(inner, max_size=3).map(",".join),
    ),
    max_leaves=5,
)
paths = columns | st.builds("{}.{}".format, relations, columns)
# Parameters whose values PostgREST does not read from the table.
NO_COLUMNS = ("limit", "offset", "columns", "on_conflict")
predicates = st.builds(
    "{}{}.{}".format, st.sampled_from(["", "not."]), st.sampled_from(OPERATORS), texts
)
parameters = st.one_of(
    st.tuples(st.just("select"), st.lists(items, min_size=1, max_size=3).map(",".join)),
    st.tuples(paths, predicates),
    st.tuples(
        st.sampled_from(["and", "or", "not.or"]),
        st.lists(st.builds("{}.{}".format, paths, predicates), max_size=2).map(
            lambda inner: f"({','.join(inner)})"
        ),
    ),
    st.tuples(
        st.just("order"), st.builds("{}.{}".format, paths, st.sampled_from(["asc", "nullsfirst"]))
    ),
    st.tuples(st.sampled_from([*NO_COLUMNS, "after"]), texts | paths),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.sampled_from(
            [
                "text/csv",
                "application/vnd.pgrst.object+json",
                "application/vnd.pgrst.plan+json",
                "application/openapi+json",
                "application/octet-stream",
            ]
        ),
        "Accept-Profile": st.sampled_from(["public", "dispatch", "auth", "pg_catalog"]),
        "Content-Profile": st.sampled_from(["public", "dispatch"]),
        "Prefer": st.sampled_from(
            [
                "return=representation",
                "count=exact",
                "tx=rollback",
                "resolution=merge-duplicates",
                "missing=default",
                "timezone=Asia/Tokyo",
                "params=single-object",
                "handling=strict",
            ]
        ),
        "Range": st.sampled_from(["0-0", "1-", "-1"]),
        "X-HTTP-Method-Override": st.just("DELETE"),
    },
)
rows = st.dictionaries(columns, texts | st.none() | st.integers(), max_size=3)
bodies = st.one_of(rows, st.lists(rows, max_size=2), texts)


def test_any_query(caller: Caller, inputs: int, tried: Callable[[], int]) -> None:
    statuses = Counter[int]()

    @settings(max_examples=inputs)
    @given(
        st.sampled_from(["GET"] * 6 + ["HEAD", "POST", "PATCH", "PUT", "DELETE"]),
        st.sampled_from(RELATIONS[:4] * 4 + RELATIONS[4:] + LISTS),
        st.lists(parameters, max_size=4),
        headers,
        bodies,
    )
    @example("GET", "service_plans", [], {}, {})
    def ask(
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: Any,
    ) -> None:
        tried()
        data = None if method in ("GET", "HEAD") else json.dumps(body)
        response = caller.session.request(
            method,
            f"{caller.url}/{path}",
            params=query,
            headers=headers | {"Content-Type": "application/json"},
            data=data,
        )
        sent = f"{method} {response.url} {headers} {data}"
        statuses[response.status_code] += 1
        caller.check(response, sent)
        # Whoever may filter by a column, or sort by it, learns what is in it. (With nothing to
        # write, PostgREST does not ask the database.)
        if response.ok and data is None and not caller.may_see_all:
            asked = [pair for pair in query if pair[0] not in NO_COLUMNS]
            selects = [value for name, value in asked if name == "select"]
            # Of several it takes one, and of "...auth.users(email)" what stands before it.
            if len(selects) > 1 or any("..." in value for value in selects):
                asked = [pair for pair in asked if pair[0] != "select"]
            assert not any(column in f"{asked}" for column in PRIVATE), sent

    ask()
    # Some were refused, and some were done.
    assert {200, 400, 404} <= set(statuses), statuses
