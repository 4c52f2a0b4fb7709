"""What Supabase Realtime does with a database: polls its changes, and asks who may join a topic."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from tests.database import Database, Row, become, eventually, rows, value

FEED, PRESENCE = "session_requests_feed", "online_mechanics"


@dataclass(frozen=True)
class Client:
    """Whoever holds a token: its subject, role and other claims."""

    user_id: object = None
    role: str = "authenticated"
    claims: Row = field(default_factory=dict)


class Changes:
    """Subscribers to a database's table changes, told by the rule of `realtime.apply_rls`.

    A change reaches a subscriber who may select the primary key and who sees the row as it is
    when polled; of its columns those the subscriber's role may select.
    """

    def __init__(self, db: Database, subscribers: dict[str, Client]) -> None:
        self._connection, self._subscribers = db.open(), subscribers
        self._slot = f"test_{uuid.uuid4().hex}"
        create = "select pg_create_logical_replication_slot(%s, 'wal2json', true)"
        rows(self._connection, create, self._slot)

    def __enter__(self) -> "Changes":
        return self

    def __exit__(self, *_: object) -> None:
        # A slot in use would keep the database from being dropped; after an error it is gone.
        drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
        rows(self._connection, f"{drop} where slot_name = %s", self._slot)

    def poll(self) -> dict[str, list[Row]]:
        """What has changed since the last poll, by the subscriber's name; nothing: no entry."""
        told: dict[str, list[Row]] = {}
        for change in self._read():
            for name, client in self._subscribers.items():
                if message := self._message(change, client):
                    told.setdefault(name, []).append(message)
        return told

    def _read(self) -> list[Row]:
        found = rows(
            self._connection,
            """
            select c.data::jsonb as change
            from (
                select string_agg(format('%%I.%%I', schemaname, tablename), ',') as tables
                from pg_publication_tables where pubname = 'supabase_realtime'
            ) as p
            cross join pg_logical_slot_get_changes(
                %s, null, null, 'format-version', '2', 'include-pk', 'true',
                'include-transaction', 'false', 'actions', 'insert,update,delete',
                'add-tables', p.tables
            ) as c
            where p.tables is not null
            """,
            self._slot,
        )
        return [row["change"] for row in found]

    def _message(self, change: Row, client: Client) -> Row | None:
        table = sql.Identifier(change["schema"], change["table"])
        name = table.as_string()
        secured = value(
            self._connection, "select relrowsecurity from pg_class where oid = %s::regclass", name
        )
        keys = {key["name"] for key in change["pk"]}
        new, old = (
            {
                column["name"]: column["value"]
                for column in change.get(part, [])
                if value(
                    self._connection,
                    "select has_column_privilege(%s, %s::regclass, %s, 'select')",
                    client.role,
                    name,
                    column["name"],
                )
            }
            for part in ("columns", "identity")
        )
        if change["action"] == "D":
            shown = {key: old[key] for key in old if key in keys or not secured}
            return {"type": "DELETE", "old_record": shown}
        kind = {"I": "INSERT", "U": "UPDATE"}[change["action"]]
        if not keys <= set(new):
            return {"type": kind, "error": "401"}
        if secured and not self._sees(table, {key: new[key] for key in keys}, client):
            return None
        return {"type": kind, "record": new, "old_record": old}

    def _sees(self, table: sql.Identifier, key: Row, client: Client) -> bool:
        is_key = [sql.SQL("{} = {}").format(sql.Identifier(name), key[name]) for name in key]
        query = sql.SQL("select from {} where {}").format(table, sql.SQL(" and ").join(is_key))
        with self._connection.transaction(force_rollback=True):
            become(self._connection, client.user_id, client.role, **client.claims)
            return self._connection.execute(query).fetchone() is not None


def access(db: Database, topic: str, client: Client) -> set[str]:
    """What Realtime lets this client do on a private topic: `broadcast read`, `presence write`."""
    allowed = set()
    with db.open() as connection, connection.transaction(force_rollback=True):
        probes = {
            extension: value(
                connection,
                "insert into realtime.messages (topic, extension) values (%s, %s) returning id",
                topic,
                extension,
            )
            for extension in ("broadcast", "presence")
        }
        become(connection, client.user_id, client.role, **client.claims)
        rows(connection, "select set_config('realtime.topic', %s, true)", topic)
        seen = rows(
            connection, "select id from realtime.messages where id = any(%s)", [*probes.values()]
        )
        for extension, probe in probes.items():
            if {"id": probe} in seen:
                allowed.add(f"{extension} read")
            try:
                with connection.transaction():
                    connection.execute(
                        "insert into realtime.messages (topic, extension) values (%s, %s)",
                        (topic, extension),
                    )
                allowed.add(f"{extension} write")
            except psycopg.errors.InsufficientPrivilege:
                pass
    return allowed


def broadcasts(db: Database) -> list[tuple[str, str, Any]]:
    """The private messages sent so far, in the order of their events: topic, event, payload."""
    eventually(lambda: db.value("select dispatch.deliver_events()") == 0)
    messages = db.sql(
        "select * from realtime.messages order by (payload ->> 'event_id')::bigint, topic"
    )
    assert all(each["private"] and each["extension"] == "broadcast" for each in messages)
    return [(each["topic"], each["event"], without_id(each["payload"])) for each in messages]


def without_id(payload: Row) -> Row:
    """`realtime.send` adds an id of its own."""
    assert uuid.UUID(payload["id"])
    return {name: payload[name] for name in payload if name != "id"}
