"""Presence: a heartbeat that costs little, and nobody who is silent is taken for online."""

import pytest

from stack.postgres import Cluster
from tests.database import (
    TEMPLATE,
    Connection,
    Database,
    Row,
    checkout,
    fresh_database,
    refused,
    rows,
    rpc,
    value,
)

WRITTEN, NOTHING = {"updates": 1, "hot": 1, "wrote": True}, {"updates": 0, "hot": 0, "wrote": False}


def seen(db: Database, seconds: float, *mechanics: str) -> None:
    """These mechanics, or all, were last heard from so long ago."""
    db.sql(
        "update public.mechanics set updated_at = now() - make_interval(secs => %s)"
        " where id::text = any(%s) or %s",
        seconds,
        [*mechanics],
        not mechanics,
    )


def beat(connection: Connection, status: str = "online") -> Row:
    """One heartbeat; what it wrote to mechanics, and whether it wrote anything at all."""
    counts = (
        "select pg_stat_get_xact_tuples_updated('public.mechanics'::regclass) as updates,"
        " pg_stat_get_xact_tuples_hot_updated('public.mechanics'::regclass) as hot"
    )
    with connection.transaction():
        # They begin with what earlier transactions did and the server has not collected yet.
        (before,) = rows(connection, counts)
        rpc(connection, "set_presence", status=status)
        (after,) = rows(connection, counts)
        wrote = value(connection, "select pg_current_xact_id_if_assigned() is not null")
    return {name: after[name] - before[name] for name in after} | {"wrote": wrote}


@pytest.mark.parametrize("status", ["online", "busy", "away", "offline"])
def test_presence_is_what_the_mechanic_says(shared: Database, status: str) -> None:
    mechanic, customer = shared.make_mechanic(online=False), shared.make_customer()
    seen(shared, 3600)
    answer = rpc(shared.connect(mechanic), "set_presence", status=status)
    assert answer["is_online"] is (status == "online")
    status_now = rpc(shared.connect(customer), "get_mechanic_status", mechanic_id=mechanic)
    assert status_now == answer


@pytest.mark.parametrize("status", [None, "", "Online", "approved"])
def test_another_word_is_refused(shared: Database, status: str | None) -> None:
    connection = shared.connect(shared.make_mechanic())
    with shared.unchanged(), refused("PT422", "invalid_status"):
        rpc(connection, "set_presence", status=status)


@pytest.mark.parametrize("status", ["unknown", None, "pending", "suspended"])
def test_the_status_of_no_approved_mechanic_tells_nothing(
    shared: Database, status: str | None
) -> None:
    mechanic = None if status == "unknown" else shared.make_mechanic(status)
    answer = rpc(
        shared.connect(shared.make_customer()), "get_mechanic_status", mechanic_id=mechanic
    )
    assert answer == {"is_online": False, "last_seen": None}


# The heartbeat.


@pytest.mark.parametrize("online", [True, False])
def test_a_heartbeat_too_many_writes_nothing(shared: Database, online: bool) -> None:
    mechanic = shared.make_mechanic(online=online)
    seen(shared, 15)
    place = "select ctid::text, xmin::text, updated_at from public.mechanics"
    before, connection = shared.sql(place), shared.connect(mechanic)
    for status in ["online"] if online else ["offline", "busy", "away"]:
        assert beat(connection, status) == NOTHING
    assert shared.sql(place) == before


@pytest.mark.parametrize("online", [True, False])
def test_a_heartbeat_in_time_moves_last_seen(shared: Database, online: bool) -> None:
    mechanic = shared.make_mechanic(online=online)
    seen(shared, 25)
    connection = shared.connect(mechanic)
    status = "online" if online else "offline"
    assert beat(connection, status) == WRITTEN
    assert shared.value("select now() - updated_at < interval '5 seconds' from mechanics")
    assert beat(connection, status) == NOTHING


def test_a_change_of_presence_is_written_at_once(shared: Database) -> None:
    connection = shared.connect(shared.make_mechanic())
    for status in ("away", "online", "offline"):
        assert beat(connection, status)["updates"] == 1
        assert shared.value("select is_online from mechanics") is (status == "online")


def test_a_marketplaces_own_table_may_have_nulls(db: Database) -> None:
    mechanic, customer = db.make_mechanic(), db.make_customer()
    db.sql("alter table mechanics alter is_online drop not null, alter updated_at drop not null")
    db.sql("insert into customer_favorites values (%s, %s)", customer, mechanic)
    for nulls, online in (("is_online = null", False), ("updated_at = null", True)):
        db.sql(f"update mechanics set {nulls}")
        (favourite,) = rpc(db.connect(customer), "list_favorite_mechanics")
        assert favourite["is_online"] is False
        assert db.value("select dispatch.mark_silent_mechanics_offline()") == online
        assert beat(db.connect(mechanic))["updates"] == 1
        assert rpc(db.connect(customer), "get_mechanic_status", mechanic_id=mechanic)["is_online"]


def test_heartbeats_of_a_full_table_are_hot(cluster: Cluster) -> None:
    """No index is written, and each new row finds room beside the old one."""
    wanted = {"n_tup_upd": 500, "n_tup_hot_upd": 500}
    for _ in range(3):
        with fresh_database(cluster, TEMPLATE) as db:
            found = updates_of_a_full_table(db)
        if found == wanted:
            break
        # Once more: autovacuum may have come by, whose ANALYZE keeps dead rows from making room.
    assert found == wanted


def updates_of_a_full_table(db: Database) -> Row:
    """A heartbeat of each of 500 mechanics, one after another."""
    db.sql(
        "with users as (insert into auth.users (id) select gen_random_uuid()"
        " from generate_series(1, 500) returning id)"
        " insert into mechanics (id, display_name, status, is_online, updated_at)"
        " select id, 'Mia', 'approved', true, now() - interval '1 minute' from users"
    )
    connection = db.open()
    rows(
        connection,
        """
        do $$
        declare
            v_claims text;
        begin
            for v_claims in
                select json_build_object('sub', id) from public.mechanics order by ctid
            loop
                perform set_config('request.jwt.claims', v_claims, false);
                perform public.set_presence('online');
                commit;
            end loop;
        end;
        $$
        """,
    )
    rows(connection, "select pg_stat_force_next_flush()")
    (found,) = db.sql(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'mechanics'"
    )
    return found


# Silence.


@pytest.mark.parametrize(("seconds", "online"), [(0, True), (119, True), (121, False)])
def test_silence_counts_by_the_clock_before_any_sweep(
    shared: Database, seconds: int, online: bool
) -> None:
    mechanic, customer = shared.make_mechanic(), shared.make_customer()
    request = shared.make_request()
    seen(shared, seconds)
    shared.sql("insert into customer_favorites values (%s, %s)", customer, mechanic)
    connection = shared.connect(customer)
    found = rpc(connection, "get_mechanic_status", mechanic_id=mechanic)
    assert found["is_online"] is online and found["last_seen"]
    (favourite,) = rpc(connection, "list_favorite_mechanics")
    assert favourite["is_online"] is online and favourite["last_seen"] == found["last_seen"]

    (recipient,) = shared.sql("select * from dispatch.choose_recipients(%s)", request)
    assert ("Available now" in recipient["reasons"]) is online
    ((_, reasons),) = [
        (row["request_id"], row["match_reasons"])
        for row in rpc(shared.connect(mechanic), "list_open_session_requests")
    ]
    assert ("Available now" in reasons) is online

    event = checkout(customer, mechanic, skip_if_offline="true")
    booked = rpc(shared.connect(role="service_role"), "process_stripe_event", event=event)
    assert shared.log(booked["request_id"]) == (
        ["priority_request"] if online else ["priority_skipped:offline", "new_request"]
    )
    assert shared.value("select is_online from mechanics") is True


def test_the_loop_marks_the_silent_offline(shared: Database) -> None:
    silent, alive = shared.make_mechanic(), shared.make_mechanic()
    seen(shared, 121, silent)
    seen(shared, 119, alive)
    before = shared.value("select updated_at from public.mechanics where id = %s", silent)
    shared.run_sweep(0)
    assert shared.sql("select id::text from mechanics where is_online") == [{"id": alive}]
    assert shared.value("select updated_at from mechanics where id = %s", silent) == before


def test_the_silent_are_marked_in_batches(shared: Database) -> None:
    for _ in range(5):
        shared.make_mechanic()
    later = "select dispatch.mark_silent_mechanics_offline(3, now() + interval '121 seconds')"
    with shared.unchanged():
        assert shared.value("select dispatch.mark_silent_mechanics_offline()") == 0
    assert [shared.value(later) for _ in range(3)] == [3, 2, 0]
    assert shared.sql("select from mechanics where is_online") == []


def test_the_loop_takes_them_all_however_many(shared: Database) -> None:
    """After an outage everyone has been silent: more than one batch, in one run."""
    superuser = shared.superuser()
    superuser.execute(
        "set session_replication_role = replica;"
        " insert into public.mechanics (id, is_online, updated_at)"
        " select gen_random_uuid(), true, now() - interval '1 hour' from generate_series(1, 2500)"
    )
    shared.run_sweep(0.5)
    assert shared.value("select count(*) from mechanics where is_online") == 0


def test_who_is_just_being_heard_from_is_not_marked(shared: Database) -> None:
    mechanic = shared.make_mechanic()
    seen(shared, 300)
    connection = shared.connect(mechanic)
    with connection.transaction():
        rpc(connection, "set_presence", status="online")
        assert shared.value("select dispatch.mark_silent_mechanics_offline()") == 0
    assert shared.value("select dispatch.mark_silent_mechanics_offline()") == 0
    assert shared.value("select is_online from mechanics")


def test_a_trigger_on_mechanics_that_raises_holds_up_no_announcement(db: Database) -> None:
    db.make_mechanic()
    seen(db, 300)
    request = db.make_request(preferred=db.make_mechanic())
    db.end_window(request)
    db.sql(
        """
        create function public.fail() returns trigger language plpgsql
        as $$ begin raise exception 'no'; end $$;
        create trigger fail before update on mechanics for each row
        execute function public.fail();
        """
    )
    db.run_sweep(0.5)
    assert db.log(request) == ["priority_request", "new_request:window_ended"]


def test_mechanics_whose_trigger_raises_keep_no_other_online(db: Database) -> None:
    """Of more than are looked at in one round each gets its turn."""
    raising, silent = [db.make_mechanic() for _ in range(4)], db.make_mechanic()
    seen(db, 300)
    db.sql(
        """
        create function public.fail() returns trigger language plpgsql
        as $$ begin raise exception 'no'; end $$
        """
    )
    db.sql(
        "create trigger fail before update on mechanics for each row"
        f" when (old.id <> '{silent}') execute function public.fail()"
    )
    look = "select dispatch.mark_silent_mechanics_offline(2)"
    assert any(db.value(look) for _ in range(500))
    online = {str(row["id"]) for row in db.sql("select id from mechanics where is_online")}
    assert online == set(raising)


def test_looking_for_the_silent_does_not_wait_for_a_locked_table(shared: Database) -> None:
    silent = shared.make_mechanic()
    seen(shared, 300, silent)
    look = "select dispatch.mark_silent_mechanics_offline()"
    holder = shared.open()
    with holder.transaction():
        holder.execute("lock table mechanics in share mode")
        assert shared.value(look) == 0
    assert shared.value(look) == 1


def test_looking_for_the_silent_costs_what_is_online_not_what_there_is(db: Database) -> None:
    superuser = db.superuser()
    superuser.execute(
        "set session_replication_role = replica;"
        " insert into public.mechanics (id, display_name, is_online, updated_at)"
        " select gen_random_uuid(), 'Mia', n % 4000 = 0, now() - (interval '1 day' * (n % 4000))"
        " from generate_series(1, 20000) as n"
    )
    superuser.execute("vacuum analyze public.mechanics")
    look = "explain (analyze, buffers, format json) select dispatch.mark_silent_mechanics_offline()"
    db.sql(look)
    (plan,) = db.value(look)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] <= 20


def test_no_index_of_mechanics_follows_the_clock(shared: Database) -> None:
    """Neither in its columns nor in its predicate: that alone would end HOT updates."""
    indexes = shared.sql(
        "select pg_get_indexdef(indexrelid) as definition from pg_index"
        " where indrelid = 'public.mechanics'::regclass"
    )
    assert indexes and not any("updated_at" in row["definition"] for row in indexes)
