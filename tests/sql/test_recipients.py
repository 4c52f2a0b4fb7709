"""The best mechanics for a request: found by look-ups, the same as by reading and sorting all."""

import random
from collections.abc import Iterator

import pytest

from stack.postgres import Cluster
from tests.database import TEMPLATE, Database, Row, become, fresh_database, refused, rows
from tests.further import further_but

# What a full scan and sort would choose, by the rules themselves. (Of a text too long to match,
# dispatch.as_request has nothing.)
ALL = """
    select m.id as mechanic_id, s.score, s.reasons
    from public.session_requests as r
    cross join dispatch.as_request(r) as q
    cross join dispatch.mechanics as m
    cross join dispatch.score_match(
        m, q.requested_brand, q.customer_city, q.customer_country, %(now)s::timestamptz
    ) as s
    where
        r.id = %(request)s and m.is_approved
        and dispatch.refusal(dispatch.as_request(r), m.id, m.user_id, %(now)s::timestamptz) is null
    order by s.score desc, m.id
"""
# What the list must be, asking the rule of each request.
LIST = """
    select
        r.id as request_id, r.session_type, r.plan_code,
        coalesce(w.ends_at > now(), false) as is_priority,
        case when w.ends_at > now() then w.ends_at end as window_ends_at,
        r.created_at, s.score as match_score, s.reasons as match_reasons
    from dispatch.mechanics as m
    cross join public.session_requests as r
    cross join dispatch.priority_window(dispatch.as_request(r)) as w
    cross join dispatch.as_request(r) as q
    cross join dispatch.score_match(
        m, q.requested_brand, q.customer_city, q.customer_country, now()
    ) as s
    where
        m.id = %s and r.status = 'pending'
        and dispatch.refusal(dispatch.as_request(r), m.id, m.user_id) is null
    order by is_priority desc, s.score desc, r.created_at, r.id
"""
# Of the requests, some are in their windows, some past them and some expired.
MOVED = """
    set local session_replication_role = replica;
    update public.session_requests as r
    set
        expires_at = r.expires_at + moved.by,
        priority_notified_at = r.priority_notified_at + moved.by,
        -- Without its mechanic, a window would have been broadcast by the triggers.
        notification_sent_at = coalesce(
            r.notification_sent_at + moved.by,
            case
                when r.preferred_mechanic_id in (
                    select m.id from public.mechanics as m where m.status = 'approved'
                ) then null
                else now()
            end
        )
    from (
        select
            o.id,
            now() - '2026-03-14 12:00Z'::timestamptz
            - make_interval(mins => (array[5, 15, 31])[1 + abs(hashtext(o.id::text)) % 3]) as by
        from public.session_requests as o
    ) as moved
    where moved.id = r.id;
    update public.mechanics
    set updated_at = updated_at + (now() - '2026-03-14 12:00Z'::timestamptz)
"""
# As long as it may be to match.
LONG = random.Random(7).randbytes(50).hex()
BRANDS = [
    LONG,
    LONG + "s",
    "Saab",
    "SAAB",
    "saab",
    "Škoda",
    "Land Rover",
    "d'Or",
    'a"b\\c',
    "{x,y}",
    "NULL",
    "",
]
CITIES = ["Turku", "TURKU", "Åbo", "Saab", "fi", ""]
COUNTRIES = ["FI", "fi", "CA", ""]
DECLINED = """
    insert into dispatch.request_events (request_id, event, topics, payload)
    select r.id, 'request_declined', array['mechanic:' || m.id], '{}'
    from public.session_requests as r cross join public.mechanics as m
    where hashtext(r.id::text || m.id::text) % 7 = 0
"""


def some(rng: random.Random, values: list[str]) -> str | None:
    return rng.choice([None, *values])


def mechanic(rng: random.Random) -> Row:
    return {
        # Many ids begin alike, and some do not.
        "id": f"{rng.choice(['00000000', '0003ffff', f'{rng.getrandbits(32):08x}'])}"
        f"-0000-4000-8000-{rng.getrandbits(48):012x}",
        "status": rng.choice(["approved"] * 6 + ["pending", "suspended", None]),
        "is_online": rng.choice([True, False, None]),
        "seen": rng.choice([0, 119, 121, None]),
        "brands": rng.choice(
            [None, [], [None], [some(rng, BRANDS) for _ in range(rng.randint(1, 12))]]
        ),
        "city": some(rng, CITIES),
        "country": some(rng, COUNTRIES),
    }


@pytest.fixture(scope="module")
def crowd(cluster: Cluster) -> Iterator[Database]:
    """Random mechanics in a marketplace's own table, which may have nulls, and random requests."""
    rng = random.Random(5)
    with fresh_database(cluster, TEMPLATE) as db:
        db.sql(
            "alter table mechanics alter is_online drop not null,"
            " alter brands drop not null, alter updated_at drop not null"
        )
        mechanics = [mechanic(rng) for _ in range(400)]
        with db.superuser().cursor() as cursor:
            cursor.execute("set session_replication_role = replica")
            cursor.executemany(
                "insert into mechanics (id, status, is_online, updated_at, brands, city, country)"
                " values (%(id)s, %(status)s, %(is_online)s,"
                " '2026-03-14 12:00Z'::timestamptz - make_interval(secs => %(seen)s),"
                " %(brands)s, %(city)s, %(country)s)",
                mechanics,
            )
            cursor.executemany(
                "insert into session_requests (id, customer_id, session_type, requested_brand,"
                " customer_city, customer_country, status, notification_sent_at, expires_at,"
                " preferred_mechanic_id, priority_notified_at, priority_window_minutes)"
                " values (%s, %s, 'chat', %s, %s, %s, %s, %s, '2026-03-14 12:30Z', %s,"
                " '2026-03-14 12:00Z', 10)",
                [
                    (
                        f"{rng.getrandbits(128):032x}",
                        rng.choice(mechanics)["id"],
                        some(rng, BRANDS),
                        some(rng, CITIES),
                        some(rng, COUNTRIES),
                        rng.choice(["pending"] * 6 + ["accepted"]),
                        rng.choice(["2026-03-14 12:00Z"] * 3 + [None]),
                        rng.choice([None, rng.choice(mechanics)["id"]]),
                    )
                    for _ in range(60)
                ],
            )
        db.sql(DECLINED)
        yield db


@pytest.mark.parametrize(
    "now",
    further_but(
        ["2026-03-14 12:10Z"], ["2026-03-14 12:00Z", "2026-03-14 12:10Z", "2026-03-14 12:30Z"]
    ),
)
def test_the_best_are_those_of_a_full_scan(crowd: Database, now: str) -> None:
    """Before the windows end, after it, and when all is expired; ties in the order of ids."""
    found = 0
    for row in crowd.sql("select id from session_requests"):
        wanted = crowd.owner.execute(ALL, {"request": row["id"], "now": now}).fetchall()
        for limit in (1, 7, None):
            chosen = crowd.owner.execute(
                "select * from dispatch.choose_recipients(%s, %s, %s::timestamptz)",
                (row["id"], limit, now),
            ).fetchall()
            assert chosen == wanted[:limit], (row["id"], limit)
        found += len(wanted)
    assert (found > 0) is (now != "2026-03-14 12:30Z")


def test_a_text_that_is_too_long_matches_nobody(crowd: Database) -> None:
    requests = "select id from session_requests where requested_brand = %s"
    reasons = "select reasons from dispatch.choose_recipients(%s, 1000, '2026-03-14 12:10Z')"
    for brand, is_matched in ((LONG, True), (LONG + "s", False)):
        found = [
            reason
            for request in crowd.sql(requests, brand)
            for row in crowd.sql(reasons, request["id"])
            for reason in row["reasons"]
        ]
        assert found and (f"Works on {brand}" in found) is is_matched


TOO_MUCH = (
    "brands = array(select 'brand ' || n from generate_series(1, 51) as n)",
    "brands = array(select 'brand ' || n from generate_series(1, 120000) as n)",
    "brands = array[array(select 'brand ' || n from generate_series(1, 120000) as n)]",
    "brands = array[repeat('x', 5001)]",
    "city = repeat('x', 101)",
    "country = repeat('x', 101)",
    "display_name = repeat('x', 201)",
)


@pytest.mark.parametrize("change", TOO_MUCH)
def test_a_profile_is_not_larger_than_this(shared: Database, change: str) -> None:
    mechanic = shared.make_mechanic()
    for connection in (shared.connect(mechanic), shared.owner):
        with shared.unchanged(), refused("23514"):
            rows(connection, f"update public.mechanics set {change}")


def test_what_a_profile_costs_is_limited_where_nothing_limits_the_profile(shared: Database) -> None:
    """As in a marketplace's own table."""
    words = """
        select count(*) from unnest(dispatch.mechanic_words(
            '00000000-0000-4000-8000-000000000000', true, %s, %s, 'fi'
        ))
    """
    fifty = [f"brand {n}" for n in range(50)]
    limit = shared.value(words, fifty, "Turku")
    assert shared.value(words, [f"brand {n}" for n in range(120_000)], "Turku") == limit
    assert shared.value(words, [[f"brand {n}" for n in range(120_000)]], "Turku") == limit
    # Too long: as if it was not there.
    assert shared.value(words, [*fifty[1:], "x" * 101], "Turku") < limit
    assert shared.value(words, [], "x" * 101) == shared.value(words, [], None)


def test_whoever_may_write_to_the_table_keeps_its_index(crowd: Database) -> None:
    """A marketplace's own role needs no right of this project's."""
    with crowd.superuser() as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "create role their_backend bypassrls;"
            " grant insert, update on public.mechanics to their_backend;"
            " insert into auth.users (id) values ('a0000000-0000-4000-8000-000000000001');"
            " set local role their_backend;"
            " insert into public.mechanics (id, status, is_online)"
            " values ('a0000000-0000-4000-8000-000000000001', 'approved', true)"
        )


def test_the_list_is_what_the_rule_says_of_each_request(crowd: Database) -> None:
    connection, found = crowd.superuser(), 0
    preferred = "select preferred_mechanic_id from session_requests where status = 'pending'"
    mechanics = crowd.sql(
        "select id from mechanics where status = 'approved'"
        f" order by (id in ({preferred})) is true desc, id limit 40"
    )
    with connection.transaction(force_rollback=True):
        connection.execute(MOVED.encode())
        for mechanic in mechanics:
            wanted = rows(connection, LIST, mechanic["id"])
            become(connection, mechanic["id"])
            listed = rows(connection, "select * from public.list_open_session_requests()")
            connection.execute("reset role")
            decided = [{name: row[name] for name in (wanted or [row])[0]} for row in listed]
            assert decided == wanted, mechanic["id"]
            found += any(row["is_priority"] for row in listed)
    assert found
