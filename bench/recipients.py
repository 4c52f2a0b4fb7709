"""The best 50 mechanics for a request, as there are more and more mechanics."""

import statistics

from bench.database import Database
from bench.measure import Curve, Subject, median, pgbench, ratio, say

BRANDS = "{Audi,BMW,Citroën,Fiat,Ford,Honda,Kia,Mazda,Opel,Peugeot,Renault,Seat,Skoda,Toyota,VW}"
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def measure(db: Database) -> Subject:
    db.prepare()
    requests(db)
    points, costs = [], {}
    for thousands in SIZES:
        grow(db, db.size.of(thousands))
        costs[thousands] = cost = [
            1000 / pgbench(db.dsn, "recipients.sql", db.size, clients=1)
            for _ in range(db.size.rounds)
        ]
        points.append((float(db.size.of(thousands)), statistics.median(cost)))
        say(f"{db.size.of(thousands):,} mechanics: {points[-1][1]:.2f} ms")
    yield Curve("best 50 recipients", "mechanics", "ms", points)
    yield median("recipients, best 50 of 1 million mechanics", "<= 1", costs[1_000_000], "ms")
    yield ratio(
        "recipients, best 50 of 1 million mechanics, beside 100 thousand",
        "<= 1.3",
        costs[1_000_000],
        costs[100_000],
        "the same at 100 thousand",
        "{:.2f} ms",
    )


def requests(db: Database) -> None:
    """A thousand broadcast requests; half of them name a brand, most a country, some a city."""
    db.fill(
        "insert into public.session_requests (id, customer_id, session_type, plan_code,"
        " notification_sent_at, requested_brand, customer_country, customer_city)"
        " select bench.request_id(n), bench.user_id(1000 + n), 'chat', 'quick-chat', now(),"
        " case when n %% 2 = 0 then (%s::text[])[1 + n %% 15] end,"
        " case when n %% 10 > 0 then 'country ' || n %% 20 end,"
        " case when n %% 3 = 0 then 'city ' || n %% 400 end"
        " from generate_series(1, 1000) as n",
        BRANDS,
    )


def grow(db: Database, count: int) -> None:
    """So many mechanics in 400 cities of 20 countries; one in twenty is online.

    Their ids are as Supabase Auth gives them, all over the range: look-ups rely on that.
    """
    have = db.value("select count(*) from public.mechanics")
    numbers = f" from generate_series({have} + 1, {count}) as n"
    db.fill(
        "insert into auth.users (id, email)"
        f" select md5(n::text)::uuid, n || '@mechanics.example'{numbers}"
    )
    db.fill(
        "insert into public.mechanics"
        " (id, display_name, status, is_online, brands, country, city)"
        " select md5(n::text)::uuid, 'Mechanic ' || n, 'approved', n %% 20 = 0,"
        " array[(%s::text[])[1 + n * 7 %% 15], (%s::text[])[1 + n * 11 %% 15]],"
        " 'country ' || n %% 20, 'city ' || n %% 400"
        f"{numbers}",
        BRANDS,
        BRANDS,
    )
    # The online ones were seen just now, as is_online means.
    db.fill("update public.mechanics set updated_at = now() where is_online")
    db.vacuum()
