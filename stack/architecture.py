"""Who calls whom, as the catalogue of an installed database says, and in which room each lives.

A room is a folder of functions/. It may call itself and the rooms before it, no later one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psycopg

from stack import ROOT

# From the base up, with what each is for.
ROOMS = {
    "caller": "Who is calling, and in which words they are refused.",
    "binding": "Where the marketplace keeps its mechanics, plans, favourites and requests, and "
    "whether the feature is on. No other room names a table of theirs.",
    "blocks": "Who is never to hear of whom.",
    "events": "The event log: each transition is a row, which notices carry to those it is for and "
    "clients read from a cursor.",
    "presence": "Who is online, and whom a customer has for a favourite.",
    "routing": "For whom a request is, and until when: windows, broadcasts, the best matches, and "
    "the one rule of who may see and accept.",
    "push": "Web Push: whose browser is reached where, and what its sender is given and told.",
    "acceptance": "What people do with a request: accept, decline, complete, cancel, open it to "
    "everyone. The guard at the table is here, and the log of every change.",
    "payments": "Booking: the checkout, Stripe's events and their ledger, refunds, free sessions.",
    "sweep": "What time brings about: windows that are over are announced, requests that nobody "
    "took expire.",
    "operations": "For whoever runs it: the flag's setter, health, why a request was routed as it "
    "was, retention.",
    "api": "What clients may call. Each is one call of a function below, which decides.",
}
# Neither calls the other, though one of them is the earlier.
STRANGERS = {"acceptance", "payments"}
# What marketplaces keep as they like, and only the binding names.
THEIRS = re.compile(r"\bpublic\.(?:mechanics|service_plans|customer_favorites)\b")

NAME = r"(?:dispatch|public)\.\w+"
CALL = re.compile(
    # `create function x()` makes it, `execute function x()` has a trigger call it.
    r"(?:\b(?P<verb>\w+)\s+(?:function|procedure)\s+(?:if\s+exists\s+)?)?"
    rf"(?<![\w.])(?P<name>{NAME}|pg_notify|realtime\.send)\s*\(",
    re.IGNORECASE,
)
MAKES = re.compile(r"\bcreate\s+(?:or\s+replace\s+)?(function|view)\s+([\w.]+)")
WRITE = re.compile(rf"\b(insert into|update|delete from)\s+({NAME})", re.IGNORECASE)
TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<quoted>\b[eE]'(?:''|\\.|[^'\\])*'|'(?:''|[^'])*')"
    r"|\$(?P<tag>(?:[a-zA-Z_]\w*)?)\$(?P<body>.*?)\$(?P=tag)\$"
    r"|(?P<end>;)",
    re.DOTALL,
)
# Runs a text: the one that stands there, or the one that a variable has.
RUNS = re.compile(
    r"\bexecute\s+(?!function\b|procedure\b|on\b)(?:format\s*\(\s*)?(v_\w+)?|\bdo\s+''",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Part:
    """A function, or what calls functions: a view, a trigger, a policy, an index, a job."""

    kind: str
    name: str
    source: str  # without comments
    room: str | None = None
    file: str | None = None  # that makes it
    relation: str | None = None  # a trigger's, a policy's, an index's
    events: tuple[str, ...] = ()  # a trigger's: INSERT, UPDATE, DELETE
    timing: str = ""
    roles: tuple[str, ...] = ()  # of the Data API, who may call a function in public

    def __str__(self) -> str:
        return self.name if self.kind == "function" else f"{self.kind} {self.name}"

    @cached_property
    def code(self) -> str:
        return code(self.source)

    @cached_property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """What it calls (CALL) and writes (INSERT, UPDATE, DELETE): each once, as they stand."""
        found = [
            (each.start(), "CALL", each["name"])
            for each in CALL.finditer(self.code)
            if (each["verb"] or "execute").lower() == "execute"
        ]
        found += [
            (each.start(), each[1].split()[0].upper(), each[2])
            for each in WRITE.finditer(self.code)
        ]
        return tuple(dict.fromkeys((step, name) for _, step, name in sorted(found)))

    @cached_property
    def calls(self) -> tuple[str, ...]:
        return tuple(name for step, name in self.steps if step == "CALL")


@dataclass(frozen=True)
class Call:
    caller: Part
    callee: Part

    def __str__(self) -> str:
        return f"{self.caller} ({self.caller.room}) calls {self.callee} ({self.callee.room})"


@dataclass(frozen=True)
class Catalogue:
    parts: tuple[Part, ...]
    # The files of sql/. Some of their triggers and policies are for another's marketplace alone.
    scripts: tuple[Part, ...]
    # To which tables a view passes on what is written to it.
    bases: Mapping[str, Sequence[str]]

    @cached_property
    def functions(self) -> Mapping[str, Part]:
        return {part.name: part for part in self.parts if part.kind == "function"}

    @cached_property
    def calls(self) -> Sequence[Call]:
        return [
            Call(part, self.functions[name])
            for part in self.parts
            for name in part.calls
            if name in self.functions and name != part.name
        ]

    @cached_property
    def wrong_calls(self) -> Sequence[str]:
        """Those from a room to a later one, and those between rooms that do not know each other."""
        order = list(ROOMS)
        return [
            str(call)
            for call in self.calls
            if call.caller.room in ROOMS and call.callee.room in ROOMS
            if order.index(call.caller.room) < order.index(call.callee.room)
            or {call.caller.room, call.callee.room} == STRANGERS
        ]

    @cached_property
    def homeless(self) -> Sequence[str]:
        return [str(part) for part in self.functions.values() if part.room not in ROOMS]

    @cached_property
    def intruders(self) -> Sequence[str]:
        """What names a table of theirs and is neither in the binding nor such a table's policy."""
        return [
            f"{part} names {name}"
            for part in self.parts
            if part.kind in ("function", "view", "policy") and part.room != "binding"
            if not (part.relation and THEIRS.fullmatch(part.relation))
            for name in sorted(set(THEIRS.findall(part.source)))
        ]

    def fired(self, event: str, relation: str) -> Iterator[Part]:
        """The triggers that a write to this relation sets off, in their order."""
        for each in (relation, *self.bases.get(relation, ())):
            triggers = [
                part
                for part in self.parts
                if part.kind == "trigger" and part.relation == each and event in part.events
            ]
            yield from sorted(triggers, key=lambda part: (part.timing == "after", part.name))
            if any(part.timing == "instead of" for part in triggers):
                return


def without_comments(source: str) -> str:
    def kept(token: re.Match[str]) -> str:
        if token["comment"]:
            return " "
        if token["body"]:
            return token[0].replace(token["body"], without_comments(token["body"]))
        return token[0]

    return TOKEN.sub(kept, source)


def code(source: str) -> str:
    """The source without comments and texts; but a text that is run is code itself."""
    statements: list[tuple[str, list[str]]] = [("", [])]
    at = 0
    for token in TOKEN.finditer(source):
        statement, texts = statements.pop()
        statement += source[at : token.start()]
        at = token.end()
        if token["end"]:
            statements += [(statement + ";", texts), ("", [])]
        elif token["comment"]:
            statements.append((statement + " ", texts))
        else:
            text = token["body"]
            if text is None:
                text = token["quoted"].partition("'")[2][:-1].replace("''", "'")
            statements.append((statement + "''", [*texts, text]))
    statement, texts = statements.pop()
    statements.append((statement + source[at:], texts))

    run = {found[1] for statement, _ in statements for found in RUNS.finditer(statement)} - {None}
    assigned = re.compile(rf"\b(?:{'|'.join(run)})\b[^;:=]*(?::=|\bdefault\b)") if run else None
    return "".join(
        statement + "".join(f" {code(text)} " for text in texts)
        if RUNS.search(statement) or (assigned and assigned.search(statement))
        else statement
        for statement, texts in statements
    )


# Each is kind, name, source, relation, events, timing, roles. Every name has its schema.
PARTS = """
    with parts (kind, name, source, relation, events, timing, roles) as (
        select
            'function',
            p.pronamespace::regnamespace || '.' || p.proname,
            p.prosrc || coalesce(' ' || pg_get_expr(p.proargdefaults, 0), ''),
            null,
            '{}'::text[],
            '',
            array(
                select r.name
                from unnest(array['anon', 'authenticated', 'service_role']) as r (name)
                where
                    p.pronamespace = 'public'::regnamespace
                    and has_function_privilege(r.name, p.oid, 'execute')
            )
        from pg_proc as p
        where
            p.pronamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
            and not exists (
                select from pg_depend as d
                where
                    d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
            )
        union all
        select 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), null, '{}', '', '{}'
        from pg_class as c
        where
            c.relkind in ('v', 'm')
            and c.relnamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
        union all
        select
            'trigger',
            t.tgname::text,
            pg_get_triggerdef(t.oid),
            t.tgrelid::regclass::text,
            array_remove(
                array[
                    case when t.tgtype & 4 > 0 then 'INSERT' end,
                    case when t.tgtype & 8 > 0 then 'DELETE' end,
                    case when t.tgtype & 16 > 0 then 'UPDATE' end
                ],
                null
            ),
            case
                when t.tgtype & 2 > 0 then 'before'
                when t.tgtype & 64 > 0 then 'instead of'
                else 'after'
            end,
            '{}'
        from pg_trigger as t
        where not t.tgisinternal
        union all
        select
            'policy',
            p.policyname::text,
            concat_ws(' ', p.qual, p.with_check),
            format('%I.%I', p.schemaname, p.tablename),
            '{}',
            '',
            '{}'
        from pg_policies as p
        union all
        select
            'index',
            i.indexrelid::regclass::text,
            pg_get_indexdef(i.indexrelid),
            i.indrelid::regclass::text,
            '{}',
            '',
            '{}'
        from pg_index as i
        where i.indexprs is not null or i.indpred is not null
        union all
        select
            'column',
            d.adrelid::regclass || '.' || a.attname,
            pg_get_expr(d.adbin, d.adrelid),
            d.adrelid::regclass::text,
            '{}',
            '',
            '{}'
        from pg_attrdef as d
        inner join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
        union all
        select
            'constraint',
            c.conname::text,
            pg_get_constraintdef(c.oid),
            c.conrelid::regclass::text,
            '{}',
            '',
            '{}'
        from pg_constraint as c
        where c.contype = 'c' and c.conrelid <> 0
    )

    select * from parts order by kind, name, relation
"""
JOBS = "select jobname, command from cron.job order by jobname"
BASES = """
    select distinct v.oid::regclass::text, d.refobjid::regclass::text
    from pg_class as v
    inner join pg_rewrite as w on w.ev_class = v.oid
    inner join pg_depend as d
        on
            d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
    where
        v.relkind = 'v' and v.relnamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
        and pg_relation_is_updatable(v.oid, false) <> 0
    order by 1, 2
"""


def read_catalogue(dsn: str, root: Path = ROOT) -> Catalogue:
    """Of a database in which all of ours is installed."""
    with psycopg.connect(dsn, options="-c search_path=") as connection:
        rows = connection.execute(PARTS).fetchall()
        has_cron = connection.execute("select to_regclass('cron.job') is not null").fetchone()
        jobs = connection.execute(JOBS).fetchall() if has_cron == (True,) else []
        bases: dict[str, list[str]] = {}
        for view, base in connection.execute(BASES):
            bases.setdefault(view, []).append(base)
    places = Places(root)
    parts = [
        Part(
            kind,
            name,
            without_comments(source),
            *places.find(kind, name),
            relation,
            tuple(events),
            timing,
            tuple(roles),
        )
        for kind, name, source, relation, events, timing, roles in rows
    ]
    parts += [Part("job", name, without_comments(command)) for name, command in jobs]
    functions = {part.name for part in parts if part.kind == "function"}
    return Catalogue(
        tuple(
            part
            for part in parts
            if part.kind in ("function", "view", "policy") or functions.intersection(part.calls)
        ),
        tuple(Part("script", file, text, file=file) for file, text in places.scripts),
        bases,
    )


class Places:
    """In which file, and so in which room, a function or a view is made."""

    def __init__(self, root: Path) -> None:
        self.texts = {
            str(file.relative_to(root)): without_comments(file.read_text())
            for folder in ("functions", "sql")
            for file in sorted((root / folder).rglob("*.sql"))
        }
        self.made: dict[tuple[str, str], list[str]] = {}
        for file, text in self.texts.items():
            for made in set(MAKES.findall(text)):
                self.made.setdefault(made, []).append(file)

    @property
    def scripts(self) -> Iterator[tuple[str, str]]:
        return ((file, text) for file, text in self.texts.items() if file.startswith("sql/"))

    def find(self, kind: str, name: str) -> tuple[str | None, str | None]:
        """Its room, if it has one, and its file."""
        if kind not in ("function", "view"):
            return None, None
        # Its own before one that makes it anew.
        files = sorted(
            self.made.get((kind, name), []), key=lambda file: Path(file).name != f"{name}.sql"
        )
        if not files:
            return None, None
        folder = Path(files[0]).parts[1]
        return folder if folder in ROOMS else None, files[0]
