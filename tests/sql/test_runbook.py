"""Every command of docs/runbook.md, in the order of the page, each in the situation it is for.

The sections up to the failover are one cluster's story; those about installing are another's.
"""

import os
import re
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import install
from stack.postgres import SUPERUSER, Cluster
from tests.database import POISON, Database, checkout, eventually, refund, refused, rows, rpc
from tests.standby import Standby

PAGE = (ROOT / "docs/runbook.md").read_text()
SAVED = ("session_requests.csv", "request_events.csv", "stripe_events.csv")
BLOCK = re.compile(r"^```(sql|sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The page's ids, which are given to the rows that it is tried on.
CUSTOMER, PENDING, EXPIRED, ACCEPTED = (
    f"5a6f4d1e-0000-4000-8000-00000000000{n}" for n in range(1, 5)
)


class Story:
    """A cluster's story, section by story. Here a failover is part of it."""

    def __init__(self, primary: Cluster) -> None:
        self.db = Database(primary, "postgres")
        self.standby: Standby | None = None
        self.blocks: Iterator[tuple[str, str]] = iter(())

    def run(self, user: str = "postgres", **instead: str) -> str:
        """Type in the section's next block, with this instead of the page's; what it answers.

        The role is no superuser, as on hosted Supabase, where the page does not say so.
        """
        language, text = next(self.blocks)
        for word, replacement in instead.items():
            text = text.replace(word, replacement)
        dsn = self.db.dsn(user)
        environment = {"DATABASE_URL": dsn, "PGOPTIONS": "-c client_min_messages=error"}
        if self.standby:
            environment["STANDBY_URL"] = self.standby.dsn()
        command = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", dsn]
        result = subprocess.run(
            ["bash", "-euo", "pipefail"] if language == "sh" else command,
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | environment,
            timeout=60,
        )
        assert result.returncode == 0, text + result.stdout + result.stderr
        return result.stdout

    def failing(self) -> set[str]:
        found = self.db.sql("select check_name from dispatch.health() where not ok")
        return {row["check_name"] for row in found}

    @contextmanager
    def cures(self, *checks: str) -> Iterator[None]:
        """These rows of health are false before, and true after."""
        assert self.failing() >= set(checks)
        yield
        assert not self.failing() & set(checks)


def is_it_well(story: Story) -> None:
    # pg_cron begins with the next minute; as if it had been there before.
    story.db.superuser().execute(
        "insert into cron.job_run_details (jobid, username, database, status, start_time)"
        " select jobid, username, database, 'succeeded', now() from cron.job"
    )
    assert story.run() == ""


def windows_are_not_announced(story: Story) -> None:
    db = story.db
    db.stop_jobs()
    request = db.make_request(preferred=db.make_mechanic())
    db.end_window(request, -10)
    db.sql("update dispatch.request_events set delivered_at = now()")
    with story.cures("sweep_scheduled", "retention_scheduled", "windows_announced"):
        assert "dispatch-sweep|* * * * *|f" in story.run()
        assert "|succeeded|" in story.run()
        story.run()
        assert db.log(request) == ["priority_request", "new_request:window_ended"]
        assert story.failing() == {"sweep_scheduled", "retention_scheduled", "windows_on_time"}
        story.run()
    for job in ("sweep", "retention"):
        db.sql("select cron.unschedule(%s)", f"dispatch-{job}")
    with story.cures("sweep_scheduled", "retention_scheduled"):
        story.run()


def pg_cron_begins_nothing(story: Story) -> None:
    assert "|t|pg_cron launcher|" in story.run()
    assert "cron.use_background_workers|off" in story.run()
    assert story.run() == "f\n"  # no such session
    story.db.sql("alter role postgres in database postgres set statement_timeout = '80s'")
    with story.cures("sweep_uncut"):
        story.run()


def notices_do_not_arrive(story: Story) -> None:
    assert 'Asynchronous notification "probe"' in story.run()
    stuck = story.db.open()
    stuck.execute("listen session_requests_feed")
    stuck.execute("begin")
    pid = str(stuck.info.backend_pid)
    assert f"{pid}|postgres|f|" in story.run()
    story.db.stop_jobs()
    story.db.sql(
        "insert into dispatch.request_events (request_id, event, payload, created_at)"
        " values (gen_random_uuid(), 'x', '{}', now() - interval '1 minute')"
    )
    with story.cures("events_delivered"):
        story.run(**{"12345": pid})
    with pytest.raises(psycopg.OperationalError):
        stuck.execute("select 1")


def vacuum_is_held_back(story: Story) -> None:
    stuck = story.db.stuck_listener()
    pid = str(stuck.info.backend_pid)
    assert f"{pid}||f|idle|ClientWrite|" in story.run()
    assert story.run(**{"12345": pid}) == "t\n"
    with pytest.raises(psycopg.OperationalError):
        stuck.execute("select 1")


def with_a_phone(db: Database) -> int:
    """A favourite with one is asked; the push."""
    favourite = db.make_mechanic(online=False)
    db.sql(
        "insert into dispatch.devices (endpoint, user_id, p256dh, auth, registered_at)"
        " values ('https://fcm.googleapis.com/fcm/send/x', %s, '', '', now() - interval '1 day')",
        favourite,
    )
    request = db.make_request(preferred=favourite)
    db.sql("select dispatch.deliver_events()")
    push = "select id from dispatch.pushes where request_id = %s and not is_reminder"
    return int(db.value(push, request))


def pushes_do_not_leave(story: Story) -> None:
    db = story.db
    push = with_a_phone(db)
    db.sql("update dispatch.pushes set due_at = now() - interval '2 minutes' where id = %s", push)
    with story.cures("pushes_on_time"):
        assert story.run().startswith("1|") and "devices" not in story.failing()
        assert story.run() == ""
        assert story.run() == ""
        story.run()
        claim = "select * from public.claim_pushes()"
        assert rows(db.connect(role="service_role"), claim) == []
    assert db.sql("select * from dispatch.devices") == []


def push_services_refuse(story: Story) -> None:
    db = story.db
    push = with_a_phone(db)
    sender = db.connect(role="service_role")
    (claimed,) = rows(sender, "select push_id from public.claim_pushes()")
    assert claimed["push_id"] == push
    rpc(sender, "finish_pushes", answers=[{"push_id": push, "status": 403}])
    assert "pushes_accepted" in story.failing()
    assert story.run().startswith("fcm.googleapis.com|refused|403|1|")
    story.run()
    assert db.sql("select * from dispatch.devices") == []
    db.sql("update dispatch.pushes set finished_at = now() - interval '16 minutes'")
    assert "pushes_accepted" not in story.failing()


def stripe_events_in_error(story: Story) -> None:
    db = story.db
    db.sql("insert into auth.users (id) values (%s)", CUSTOMER)
    events = {
        "evt_plan": checkout(CUSTOMER, plan="gold"),
        "evt_same_plan": checkout(CUSTOMER, plan="gold"),
        "evt_customer": checkout(str(uuid.uuid4())),  # whose account is gone
        "evt_nobody": checkout(CUSTOMER, plan="silver"),
    }
    webhook = db.connect(role="service_role")
    for name, event in events.items():
        event["id"] = name
        assert rpc(webhook, "process_stripe_event", event=event)["outcome"] == "error"

    def processed() -> set[str]:
        found = db.sql("select id from dispatch.stripe_events where processed_at is not null")
        return {row["id"] for row in found}

    with story.cures("stripe_events_processed"):
        found = story.run()
        assert (found.count("unknown_plan"), found.count("missing_customer")) == (3, 1)
        story.run()
        story.run()
        assert '"created": true' in story.run()
        assert processed() == {"evt_plan"}
        story.run()
        assert processed() == {"evt_plan", "evt_same_plan", "evt_customer"}
        story.run()
    nobody = events["evt_nobody"]
    assert rpc(webhook, "process_stripe_event", event=nobody)["outcome"] == "duplicate"
    # Nor does the page after the Checkout wait any more.
    session = nobody["data"]["object"]["id"]
    asked = rpc(db.connect(CUSTOMER), "get_checkout_status", checkout_session_id=session)
    assert asked == "payment_failed"
    assert db.value("select count(*) from session_requests where customer_id = %s", CUSTOMER) == 3


def nobody_accepts_a_request(story: Story) -> None:
    db = story.db
    mechanic = db.make_mechanic(display_name="Mona")
    db.make_request(id=PENDING)
    db.sql(
        "update session_requests set created_at = created_at - interval '16 minutes',"
        " notification_sent_at = notification_sent_at - interval '16 minutes' where id = %s",
        PENDING,
    )
    with story.cures("requests_accepted"):
        assert PENDING in story.run()
        assert mechanic in story.run()
        assert re.search(r"^Mona\|.*\|t\|50\|open to everyone since ", story.run(), re.MULTILINE)
        story.run()


def requests_do_not_expire(story: Story) -> None:
    db = story.db
    request = db.make_request(notes="poison")
    db.sql(
        "update session_requests set expires_at = now() - interval '1 hour' where id = %s", request
    )
    db.sql(POISON)
    assert request in story.run()
    with pytest.raises(AssertionError, match="ERROR:  no"):
        story.run()
    with story.cures("requests_expired"):
        db.sql("drop function public.poison cascade")
        db.sweep()


def requests_that_no_trigger_routed(story: Story) -> None:
    db = story.db
    superuser = db.superuser()
    superuser.execute("set session_replication_role = replica")
    hour_ago, favourite = datetime.now(UTC) - timedelta(hours=1), db.make_mechanic()
    plain = db.make_request(created_at=hour_ago, connection=superuser)
    endless = db.make_request(
        preferred=favourite, minutes=100000, priority_notified_at=hour_ago, connection=superuser
    )
    with story.cures("requests_routed"):
        found = story.run()
        assert plain in found and endless in found
        story.run()
    assert db.log(plain) == ["new_request"]
    assert db.log(endless) == ["new_request:customer"]
    assert all(db.request(each)["expires_at"] for each in (plain, endless))


def a_refund_is_due(story: Story) -> None:
    db = story.db
    others = db.make_request(metadata={"stripe_payment_intent": "pi_other"})
    db.make_request(id=EXPIRED, metadata={"stripe_payment_intent": "pi_ours"})
    db.sql("update session_requests set status = 'expired' where id in (%s, %s)", EXPIRED, others)
    db.make_request(id=ACCEPTED, metadata={"stripe_payment_intent": "pi_gone"})
    mechanic = db.make_mechanic()
    rpc(db.connect(mechanic), "accept_session_request", request_id=ACCEPTED)
    db.sql("delete from auth.users where id = %s", mechanic)
    webhook = db.connect(role="service_role")
    with story.cures("refunds_due", "requests_have_mechanic"):
        found = story.run()
        assert "|pi_ours|" in found and "mechanic_gone|" in found
        rpc(webhook, "process_stripe_event", event=refund("pi_other"))
        assert "refunds_due" in story.failing()
        blocks = list(story.blocks)
        story.blocks = iter(blocks)
        story.run(pi_3="pi_ours")
        assert "refunds_due" not in story.failing()
        # The same of what went with its customer's account, and of a refund that failed.
        customer = db.make_customer()
        rpc(webhook, "process_stripe_event", event=checkout(customer, payment="pi_left"))
        db.sql("delete from auth.users where id = %s", customer)
        db.sql("select dispatch.scrub_stripe_events('180 days')")
        assert "refunds_due" in story.failing()
        story.blocks = iter(blocks)
        story.run(pi_3="pi_left")
        assert "refunds_due" not in story.failing()
        story.run()
        rpc(webhook, "process_stripe_event", event=refund("pi_gone"))


def a_payment_to_look_at(story: Story) -> None:
    db = story.db
    webhook = db.connect(role="service_role")
    db.sql("select dispatch.expect_stripe(false)")
    for name, live in (("evt_price", False), ("evt_live", True)):
        event = checkout(CUSTOMER) | {"id": name, "livemode": live}
        event["data"]["object"] |= {"amount_total": 1 if name == "evt_price" else 999}
        rpc(webhook, "process_stripe_event", event=event)
    # The customer complained, and was paid back.
    paid_back = refund(event["data"]["object"]["payment_intent"]) | {"livemode": True}
    rpc(webhook, "process_stripe_event", event=paid_back)
    with story.cures("payments_as_priced"):
        assert "evt_price|" in story.run()
        story.run()
    with story.cures("live_payments_booked"):
        assert "evt_live|" in story.run()
        story.run()
        assert '"created": true' in story.run()
    booked = "select request_id from dispatch.stripe_events where id = 'evt_live'"
    assert db.request(db.value(booked))["status"] == "cancelled"
    db.sql("select dispatch.expect_stripe(null)")


def the_marketplace_refuses(story: Story) -> None:
    db = story.db
    db.sql(
        "alter table session_requests add constraint no_free check (plan_code <> 'free-diagnostic')"
    )
    with refused("PT409", "booking_refused"):
        rpc(db.connect(CUSTOMER), "request_free_session", plan_code="free-diagnostic")
    assert "marketplace_writes" in story.failing()
    assert story.run().strip()
    assert "no_free|" in story.run()
    db.sql("alter table session_requests drop constraint no_free")
    db.sql("select setval('dispatch.last_refusal', 0)")


def the_log_grows(story: Story) -> None:
    db = story.db
    # Ids are in the order of time, so this must be the first.
    db.sql(
        "insert into dispatch.request_events"
        " (id, request_id, event, payload, created_at, delivered_at) overriding system value"
        " values (0, gen_random_uuid(), 'x', '{}', now() - interval '1 year', now())"
    )
    assert "'90 days'" in story.run()
    assert "request_events|" in story.run()
    story.run()
    old = "select count(*) from dispatch.request_events where created_at < now() - interval '1 day'"
    assert db.value(old) == 0
    story.run()
    command = db.value("select command from cron.job where jobname = 'dispatch-retention'")
    assert "'60 days'" in command and "'90 days'" not in command


def what_your_role_may_not_do(story: Story) -> None:
    assert story.run() == "postgres|f|t|t|f\n"
    theirs = story.db.superuser()
    for refusal in (
        f"select pg_terminate_backend({theirs.info.backend_pid})",
        "select pg_promote()",
        "select pg_reload_conf()",
        "alter system set work_mem = '4MB'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            story.db.open().execute(refusal.encode())
    story.run(SUPERUSER)
    assert story.db.value(
        "select has_function_privilege('pg_promote(boolean, integer)', 'execute')"
    )


def after_a_failover(story: Story) -> None:
    primary = story.db
    primary.sql("select cron.alter_job(jobid, active := true) from cron.job")
    story.standby = Standby(primary.cluster)
    request = primary.make_request(preferred=primary.make_mechanic())
    written = primary.value("select pg_current_wal_lsn()")
    story.db = db = Database(story.standby, "postgres")
    eventually(lambda: db.value("select pg_last_wal_replay_lsn() >= %s", written))
    (queue,) = db.sql("select * from dispatch.health() where check_name = 'notify_queue'")
    assert not queue["ok"] and queue["detail"].startswith("a standby")

    primary.cluster.stop()
    assert "\n t\n" in story.run()
    story.run()
    assert story.run().startswith("f\n")
    assert "notify_queue" not in story.failing()
    (told,) = db.events(request)
    story.run()
    assert db.events(db.make_request())[0]["id"] > told["id"] + 1_000_000
    assert "evt_plan|" in story.run()
    db.end_window(request)


def watch_it(story: Story) -> None:
    story.run()
    monitor = story.db.superuser()
    monitor.execute("set role dispatch_monitor")
    assert len(story.run().splitlines()) == len(rows(monitor, "select * from dispatch.health()"))
    assert len(story.run().splitlines()) == 8
    _, text = next(story.blocks)
    queries = re.findall(r'^  query: "(.*)"$', text, re.MULTILINE)
    parts = text.split("  query: ")[1:]
    assert len(queries) == len(parts) == 2
    for query, part in zip(queries, parts, strict=True):
        names = re.findall(r"^    - (\w+): \{usage: \w+, description: ", part, re.MULTILINE)
        assert names == list(story.db.sql(query)[0])


def install_and_upgrade(story: Story) -> None:
    story.run()
    assert "FAILED" not in story.run()


def turn_the_flag(story: Story) -> None:
    assert story.run() == "t\n"
    db = story.db
    request = db.make_request(preferred=db.make_mechanic())
    assert story.run() == "f\nf\n"
    assert db.log(request) == ["priority_request", "new_request:flag_off"]


def roll_back(story: Story) -> None:
    db = story.db
    db.sql("select cron.schedule('dispatch-push', '* * * * *', 'select 1')")  # sql/push_cron.sql's
    db.sql("select dispatch.set_favorites_priority(true)")
    request = db.make_request(preferred=db.make_mechanic())
    db.sql("delete from dispatch.request_events where request_id = %s", request)
    with pytest.raises(AssertionError, match=r"1 session_requests .* would lose .* nothing was"):
        story.run()
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory)
        files = {name: str(saved / name) for name in SAVED}
        story.run(**files)
        assert request in (saved / "session_requests.csv").read_text()
        assert "preferred_mechanic_id" not in db.sql("table session_requests")[0]
        assert story.run() == ""
        event = checkout(str(uuid.uuid4())) | {"id": "evt_nobody"}
        rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
        with pytest.raises(AssertionError, match="1 Stripe events wait in the ledger"):
            story.run(**files)
        assert "evt_nobody" in (saved / "stripe_events.csv").read_text()
        assert "flag_off" in (saved / "request_events.csv").read_text()
    story.run()
    assert db.value("select to_regnamespace('dispatch') is null")
    assert db.value("select count(*) from cron.job") == 0
    assert db.value("select count(*) from session_requests") == 2


INCIDENTS = {
    "Is it well?": is_it_well,
    "Windows are not announced": windows_are_not_announced,
    "pg_cron begins nothing": pg_cron_begins_nothing,
    "Notices do not arrive": notices_do_not_arrive,
    "Vacuum is held back": vacuum_is_held_back,
    "Pushes do not leave": pushes_do_not_leave,
    "Push services refuse": push_services_refuse,
    "Stripe events in error": stripe_events_in_error,
    "Nobody accepts a request": nobody_accepts_a_request,
    "Requests do not expire": requests_do_not_expire,
    "Requests that no trigger routed": requests_that_no_trigger_routed,
    "A refund is due": a_refund_is_due,
    "A payment to look at": a_payment_to_look_at,
    "The marketplace refuses": the_marketplace_refuses,
    "The log grows": the_log_grows,
    "What your role may not do": what_your_role_may_not_do,
    "After a failover": after_a_failover,
    "Watch it": watch_it,
}
ROUTINE = {
    "Install and upgrade": install_and_upgrade,
    "Turn the flag": turn_the_flag,
    "Roll back": roll_back,
}


# For the whole run, as the last of its tests is a late one: pg_cron's first run on the new primary
# begins with a minute.
@pytest.fixture(scope="session")
def incidents() -> Iterator[Story]:
    with Cluster() as cluster:
        install(cluster.dsn())
        story = Story(cluster)
        story.db.sql("select dispatch.set_favorites_priority(true)")
        yield story
        story.db.close()
        if story.standby:
            story.standby.stop()


@pytest.fixture(scope="module")
def routine() -> Iterator[Story]:
    with Cluster() as cluster:
        yield Story(cluster)


def run_section(story: Story, heading: str, act: Callable[[Story], None]) -> None:
    text = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    story.blocks = iter(BLOCK.findall(text))
    act(story)
    assert next(story.blocks, None) is None, "a command that was not run"


@pytest.mark.parametrize("heading", INCIDENTS)
def test_an_incident(incidents: Story, heading: str) -> None:
    run_section(incidents, heading, INCIDENTS[heading])


@pytest.mark.parametrize("heading", ROUTINE)
def test_routine(routine: Story, heading: str) -> None:
    run_section(routine, heading, ROUTINE[heading])


@pytest.mark.late
def test_the_sweep_goes_on_after_the_failover(incidents: Story) -> None:
    """The job came along, and a window that was open on the old primary is announced."""
    db = incidents.db
    waiting = "select count(*) from dispatch.pending_windows(now(), 9)"
    eventually(lambda: not db.value(waiting), 75)
    assert {"sweep_scheduled", "sweep_runs", "windows_announced"}.isdisjoint(incidents.failing())


def test_the_page_has_no_other_sections_and_explains_each_row_of_health(shared: Database) -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == [*INCIDENTS, *ROUTINE]
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    health = shared.sql("select check_name from dispatch.health()")
    assert sorted(explained) == sorted(row["check_name"] for row in health)
