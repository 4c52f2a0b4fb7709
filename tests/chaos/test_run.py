"""Short runs: under faults nothing is lost, and what a broken function does is found."""

from collections.abc import Iterator

import pytest

from chaos import faults
from chaos.run import run
from stack.install import install
from stack.services import Stack
from stack.temporary import temporary_stack
from tests.database import Database


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with temporary_stack(fsync=True) as stack:
        yield stack


@pytest.fixture
def db(stack: Stack) -> Iterator[Database]:
    """The stack's own database, emptied, and as installed again afterwards."""
    assert stack.cluster
    with Database(stack.cluster, "postgres") as database:
        database.empty()
        yield database
    install(stack.cluster.dsn())


def calm(scene: faults.Scene) -> None:
    scene.wait(0, 0.1)


def test_nothing_is_lost_and_no_one_let_in(stack: Stack, db: Database) -> None:
    lines: list[str] = []
    result = run(stack, 9, seed=1, sweep_by_hand=True, report=lines.append)
    assert result.violations == [], lines
    assert result.record.operations > 200 and result.record.faults.total() >= 2, lines


BROKEN = {
    # Whoever asks first gets it.
    "nobody_is_let_in": "create or replace function dispatch.refusal("
    "p_request public.session_requests, p_mechanic_id uuid, p_now timestamptz default now())"
    " returns text language sql as $$ select null $$",
    # The plain way to read a log: what commits late stays below the cursors.
    "listeners_miss_nothing": "create or replace function dispatch.last_settled_event_id()"
    " returns bigint language sql as $$ select max(id) from dispatch.request_events $$",
    "transitions_make_sense": "drop trigger session_requests_log_update on session_requests",
    "each_paid_session_has_one_request": "create or replace function"
    " dispatch.book_paid_session(p_checkout jsonb, p_customer_id uuid) returns uuid"
    " language sql as $$ select gen_random_uuid() $$",
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_function_is_found(stack: Stack, db: Database, check: str) -> None:
    db.sql(BROKEN[check])
    result = run(stack, 2, seed=1, faults=[calm], sweep_by_hand=True)
    assert check in {line.partition(":")[0] for line in result.violations}
