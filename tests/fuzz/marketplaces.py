"""The two marketplaces that the model is of: ours, and one that was there first."""

import uuid

from stack import ROOT
from stack.install import install_on_theirs
from tests.database import Database, become


class Ours:
    governs_all = True
    plan, free_plan = "quick-chat", "free-diagnostic"
    secrets: tuple[str, ...] = ("customer_name", "customer_email", "notes")
    approve, suspend = (
        f"update mechanics set status = '{each}' where id = %s returning id"
        for each in ("approved", "suspended")
    )
    # As long as a mechanic says nothing else, their page's heartbeat says the same.
    heartbeat = "update mechanics set updated_at = now() + interval '1 hour' where id = %s"
    passed: tuple[str, ...] = (
        "update session_requests set priority_notified_at = priority_notified_at - t,"
        " notification_sent_at = notification_sent_at - t, created_at = created_at - t,"
        " accepted_at = accepted_at - t, updated_at = updated_at - t"
        " from (select make_interval(mins => %s) as t) as passed",
    )
    written = (
        "select id::text, status::text, mechanic_id::text,"
        " notification_sent_at is not null as broadcast from session_requests"
    )

    def __init__(self, db: Database) -> None:
        self.db, self.client, self.backend = db, db.open(), db.open()
        become(self.backend, role="service_role")
        # Behind the triggers' back.
        self.clock = db.superuser()
        self.clock.execute("set session_replication_role = replica")

    def mechanic_id(self, user: str) -> str:
        return user

    def make_mechanic(self) -> str:
        return self.db.make_mechanic()

    def book(self, customer: str, wanted: str | None, minutes: int) -> str:
        """A plain INSERT."""
        return self.db.make_request(customer, wanted, minutes)

    def let_time_pass(self, minutes: int) -> None:
        for statement in self.passed:
            self.clock.execute(statement.encode(), [minutes])

    def expire(self) -> None:
        """The sweep does it."""


class Garage(Ours):
    governs_all = False
    plan, free_plan = "chat10", "free"
    secrets = ("customer_name", "customer_email")
    approve, suspend = (
        f"update mechanics set application_status = '{each}' where id = %s returning id"
        for each in ("approved", "rejected")
    )
    heartbeat = (
        "update dispatch.presence set last_seen_at = now() + interval '1 hour'"
        " where mechanic_id = %s"
    )
    passed = (
        "update session_requests set priority_notified_at = priority_notified_at - t,"
        " created_at = created_at - t, accepted_at = accepted_at - t"
        " from (select make_interval(mins => %s) as t) as passed",
        "update dispatch.windows set ends_at = ends_at - t, announced_at = announced_at - t,"
        " closed_at = closed_at - t from (select make_interval(mins => %s) as t) as passed",
    )
    written = (
        "select r.id::text, r.status, r.mechanic_id::text,"
        " w.request_id is null or w.announced_at is not null as broadcast"
        " from session_requests as r left join dispatch.windows as w on w.request_id = r.id"
    )

    @staticmethod
    def install(db: Database) -> None:
        db.sql((ROOT / "examples/marketplaces/garage/schema.sql").read_text())
        db.sql(
            "insert into service_plans (slug, name, price, duration_minutes, description)"
            " values ('chat10', 'Chat', 9.99, 10, ''), ('free', 'Free', 0, 10, '')"
        )
        install_on_theirs(db.dsn())

    def mechanic_id(self, user: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, user))

    def make_mechanic(self) -> str:
        user = self.db.make_customer()
        self.db.sql(
            "insert into mechanics (id, user_id, name, application_status)"
            " values (%s, %s, 'Mia', 'approved')",
            *(self.mechanic_id(user), user),
        )
        return user

    def book(self, customer: str, wanted: str | None, minutes: int) -> str:
        columns = {"customer_id": customer, "session_type": "chat", "plan_code": self.plan}
        asked = {
            "preferred_mechanic_id": self.mechanic_id(wanted) if wanted else None,
            "priority_window_minutes": minutes,
        }
        return str(self.db._insert("session_requests", columns | (asked if wanted else {})))

    def expire(self) -> None:
        self.db.sql("select expire_old_session_requests()")
