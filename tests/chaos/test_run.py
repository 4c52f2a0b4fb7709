"""Short runs: under faults nothing is lost, and what a broken product does is found."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from chaos import faults
from chaos.breakable import breakable_stack
from chaos.run import Result, run
from stack.install import install
from stack.services import Stack
from tests.database import Database


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with breakable_stack() as stack:
        yield stack


@pytest.fixture
def db(stack: Stack) -> Iterator[Database]:
    """The stack's own database, emptied, and as installed again afterwards."""
    assert stack.cluster
    with Database(stack.cluster, "postgres") as database:
        database.empty()
        yield database
    with Database(stack.cluster, "postgres") as database:  # the server may have been killed
        database.empty()  # of what the install would refuse
    install(stack.cluster.dsn())
    with Database(stack.cluster, "postgres") as database:
        database.sql("select cron.alter_job(jobid, active := true) from cron.job")


def found(result: Result) -> set[str]:
    """The checks that found something."""
    return {line.partition(":")[0] for line in result.violations}


def find(
    checks: set[str],
    stack: Stack,
    lengths: Iterable[float],
    *,
    fault: faults.Fault,
    patience: float,
) -> None:
    """Run until one of the checks finds something: who meets whom is up to the machine."""
    for seed, seconds in enumerate(lengths):
        result = run(
            stack,
            seconds,
            seed=seed,
            faults=[fault],
            long_faults=[],
            sweep_by_hand=True,
            patience=patience,
            senders=0,
        )
        if found(result) & checks:
            return
    pytest.fail(f"{result.record.operations} operations; found was {found(result) or 'nothing'}")


def calm(scene: faults.Scene) -> None:
    scene.wait(0, 0.1)


def commit_late(scene: faults.Scene) -> None:
    """An event's id is given long before it is seen."""
    with scene.connection() as connection, connection.transaction():
        connection.execute(
            "insert into public.session_requests (customer_id, session_type, plan_code)"
            " values (%s, 'chat', 'quick-chat')",
            [scene.world.customers[0]],
        )
        scene.wait(0.5, 1)


def book_many(scene: faults.Scene, minutes: int = 1) -> None:
    """More windows, the shortest a second long, than the mechanics take at once."""
    with scene.connection() as connection:
        connection.execute(
            "insert into public.session_requests (customer_id, session_type, plan_code,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at)"
            " select %s, 'chat', 'quick-chat', %s, %s, now() - interval '59 seconds'"
            " from generate_series(1, 100)",
            [scene.world.customers[0], scene.world.favourites[0], minutes],
        )


def book_chains(scene: faults.Scene) -> None:
    """Windows of a second, after each of which another favourite comes."""
    with scene.connection() as connection:
        connection.execute(
            "with booked as ("
            " insert into public.session_requests (customer_id, session_type, plan_code,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at)"
            " select %s, 'chat', 'quick-chat', %s, 1, now() - interval '59 seconds'"
            " from generate_series(1, 10) returning id)"
            " insert into dispatch.steps (request_id, turn, mechanic_id, window_minutes)"
            " select id, 2, %s, 10 from booked",
            [scene.world.customers[0], *scene.world.favourites[:2]],
        )


def turn_the_flag_on_many(scene: faults.Scene) -> None:
    book_many(scene, minutes=60)
    with scene.connection() as connection:
        connection.execute("select dispatch.deliver_events(10000)")
    scene.wait(0.5, 0.5)  # until they are heard of
    faults.turn_the_flag(scene)


def test_nothing_is_lost_and_no_one_let_in(stack: Stack, db: Database) -> None:
    lines: list[str] = []
    result = run(stack, 9, seed=1, sweep_by_hand=True, report=lines.append)
    assert result.violations == [], lines
    assert result.record.operations > 200 and result.record.faults.total() >= 2, lines


@dataclass(frozen=True)
class Broken:
    """A function with `before` replaced by `after`, and what is needed to notice."""

    check: str
    function: str
    before: str
    after: str
    also: str = ""  # SQL
    fault: faults.Fault = calm


RECORDED = """
        v_id, v_type, p_event, now(), v_outcome,
        case v_outcome when 'request_created' then v_request_id else v_booked_id end,
        v_subject
    """
# Else it says in time what the flag's setter forgets.
NO_LOOP = """
    select cron.alter_job(jobid, active := false) from cron.job;
    select pg_terminate_backend(pid) from pg_stat_activity
    where query like '%dispatch.sweep_round(%' and pid <> pg_backend_pid();
"""
ONCE = """
                    on conflict ((metadata ->> 'stripe_checkout_session_id'))
                    where (metadata ->> 'stripe_checkout_session_id') is not null
                    do nothing
"""
ACCEPTED = """
    if new.status = 'accepted' then
"""
TWICE = """
        perform dispatch.record_event(
            old.id, old.session_type::text, v_plan_code, v_created_at, 'request_accepted',
            array[v_customer, 'mechanic:' || v_taken_by]
        );
"""
BROKEN = {
    "an error that is not the contract's": Broken(
        "answers_are_the_contracts", "dispatch.raise_error", "errcode = v_status, ", ""
    ),
    "a payment that books nothing": Broken(
        "each_paid_session_has_one_request",
        "dispatch.process_stripe_event",
        "into v_booked_id, v_is_other_price;",
        "into v_booked_id, v_is_other_price;\n"
        "delete from public.session_requests where id = v_request_id;",
    ),
    "an event answered and not recorded": Broken(
        "each_paid_session_has_one_request",
        "dispatch.process_stripe_event",
        f"values ({RECORDED})",
        f"select {RECORDED} where v_type <> 'charge.refunded'",
    ),
    "two requests for one session": Broken(
        "each_paid_session_has_one_request",
        "dispatch.process_stripe_event",
        ONCE,
        "",
        also="drop index public.session_requests_stripe_checkout_session_id_key",
    ),
    "a refund that cancels nothing": Broken(
        "nothing_refunded_is_offered",
        "dispatch.settle_payment",
        "outcome in ('refunded', 'dispute_lost')",
        "outcome = 'dispute_lost'",
    ),
    "a refund that was forgotten when its payment came": Broken(
        "nothing_refunded_is_offered",
        "dispatch.process_stripe_event",
        "r.outcome in ('refunded', 'dispute_lost') and r.subject = v_payment",
        "false",
    ),
    "an accept that takes over": Broken(
        "each_request_has_one_winner",
        "dispatch.accept_request",
        "id = p_request_id and status::text = 'pending'",
        "id = p_request_id and status in ('pending', 'accepted')",
        also="drop trigger session_requests_guard on public.session_requests",
    ),
    "an accept that is answered and not done": Broken(
        "each_request_has_one_winner",
        "dispatch.accept_request",
        "set status = 'accepted', mechanic_id = v_user_id",
        "set notes = notes",
    ),
    "no window rule": Broken(
        "nobody_is_let_in",
        "dispatch.refusal",
        "(v_mechanic_id = p_mechanic_id) is not true",
        "false",
    ),
    "a window that everyone is told of": Broken(
        "nobody_is_let_in",
        "dispatch.log_new_request",
        "array[v_customer, 'mechanic:' || new.preferred_mechanic_id]",
        "array[v_customer, 'mechanic:' || new.preferred_mechanic_id, 'session_requests_feed']",
    ),
    "a turn from when it is told": Broken(
        "each_favourite_is_asked_in_turn",
        "dispatch.open_steps",
        "v_began_at timestamptz := p_over_at;",
        "v_began_at timestamptz := p_at;",
        fault=book_chains,
    ),
    "a turn that nobody knows of until it is told": Broken(
        "nobody_is_let_in",
        "dispatch.priority_window",
        "if not p_request.is_pending then",
        "if true then",
        also=NO_LOOP,
    ),
    "a decline that passes over the next": Broken(
        "each_favourite_is_asked_in_turn",
        "dispatch.take_steps",
        "v_reason not in ('customer', 'flag_off')",
        "false",
    ),
    "given back, and theirs again": Broken(
        "nobody_gets_back_what_they_gave_back",
        "dispatch.guard_request",
        "e.event in ('request_declined', 'request_released')",
        "e.event = 'request_declined'",
    ),
    "given back again and again": Broken(
        "each_request_has_one_winner",
        "dispatch.put_back",
        "v_is_refunded or exists",
        "v_is_refunded and exists",
    ),
    "a suspended mechanic who may go on": Broken(
        "nobody_suspended_is_let_in",
        "dispatch.approved_mechanic_of",
        " and m.is_approved",
        "",
        fault=faults.suspend_a_mechanic,
    ),
    "a sweep that forgets": Broken(
        "each_window_is_announced",
        "dispatch.announce_fallbacks",
        "skip locked",
        "limit 0",
        fault=book_many,
    ),
    "a suspension that forgets its windows": Broken(
        "each_window_is_announced",
        "dispatch.release_windows",
        "r.preferred_mechanic_id = old.id",
        "false",
        fault=faults.suspend_a_mechanic,
    ),
    "a deletion that forgets its windows": Broken(
        "each_window_is_announced",
        "dispatch.guard_request",
        "elsif v_old.window_began_at is not null then\n                new.notification_sent_at",
        "elsif false then\n                new.notification_sent_at",
        fault=faults.delete_a_mechanic,
    ),
    "a flag that forgets the open windows": Broken(
        "each_window_is_announced",
        "dispatch.set_favorites_priority",
        "exit when dispatch.sweep(10000) = 0;",
        "exit;",
        also=NO_LOOP,
        fault=turn_the_flag_on_many,
    ),
    "a decline that forgets to announce": Broken(
        "each_window_is_announced",
        "dispatch.decline_request",
        "if v_window.mechanic_id = v_mechanic_id",
        "if false",
    ),
    "a delivery that never comes": Broken(
        "each_window_is_announced", "dispatch.deliver_events", "limit p_limit", "limit 0"
    ),
    "a transition without its event": Broken(
        "transitions_make_sense",
        "dispatch.log_request_change",
        "if new.status = 'accepted' then",
        "if new.status = 'accepted' then\n        return null;",
    ),
    "a transition with two events": Broken(
        "transitions_make_sense",
        "dispatch.log_request_change",
        ACCEPTED,
        ACCEPTED + TWICE,
    ),
    # The plain way to read a log: what commits late stays below the cursors.
    "a cursor that passes what is not committed": Broken(
        "listeners_miss_nothing",
        "dispatch.last_settled_event_id",
        "return v_last - coalesce(v_distance, 0)",
        "return v_last",
        fault=commit_late,
    ),
    "a list that leaves out": Broken(
        "listeners_miss_nothing",
        "dispatch.list_request_events",
        "e.id <= v_settled and e.topics",
        "e.id % 7 > 0 and e.id <= v_settled and e.topics",
    ),
    "a list with others' events": Broken(
        "listeners_miss_nothing",
        "dispatch.list_request_events",
        "e.topics[1] = v_customer",
        "true",
    ),
    "a delivery that loses every notice": Broken(
        "each_notice_is_heard", "dispatch.send_notices", "when pg_notify", "when concat"
    ),
    "a delivery that loses some notices": Broken(
        "each_notice_is_heard",
        "dispatch.send_notices",
        "cardinality(p_topics) loop",
        "cardinality(p_topics) loop continue when random() < 0.1;",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_product_is_found(stack: Stack, db: Database, name: str) -> None:
    broken = BROKEN[name]
    code = db.value("select pg_get_functiondef(%s::regproc)", broken.function)
    assert broken.before in code
    db.sql(f"{code.replace(broken.before, broken.after)};{broken.also}")
    find({broken.check}, stack, (2, 6, 18), fault=broken.fault, patience=5)


def test_what_a_crash_takes_back_is_found(stack: Stack, db: Database) -> None:
    """A server that answers before the commit is on the disk."""
    settings = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
    superuser = db.superuser()
    for name, setting in settings.items():
        superuser.execute(f"alter system set {name} = '{setting}'".encode())
    superuser.execute("select pg_reload_conf()")
    # Payments acknowledged, accepts answered, or events listed: whichever came last.
    lost = {
        "each_paid_session_has_one_request",
        "each_request_has_one_winner",
        "listeners_miss_nothing",
    }
    try:
        find(lost, stack, (6, 12, 24), fault=faults.kill_postgres, patience=20)
    finally:
        superuser = db.superuser()
        superuser.execute("alter system reset all")
        superuser.execute("select pg_reload_conf()")
