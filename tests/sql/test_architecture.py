"""The rooms of functions/: no call goes up, each file has its place, and theirs stay theirs.

What each rule finds is shown by input that was doctored to break it.
"""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.architecture import (
    ROOMS,
    THEIRS,
    Catalogue,
    Part,
    code,
    read_catalogue,
    without_comments,
)
from stack.postgres import SUPERUSER, Cluster

INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)
# For what the engine and the feature may name public.mechanics.
NAMED_FOR = {
    "a foreign key": r"references {}|confrelid (=|<>) to_regclass\('{}'\)",
    "a trigger": r"(trigger (if exists )?\w+|insert|update( of %s)?|delete) on {}"
    r"|'mechanics_release_windows', '{}'|tgrelid = to_regclass\('{}'\)"
    r"|attrelid = '{}'::regclass",
    "a policy of ours": r"policy mechanics_select on {}|polrelid = '{}'::regclass",
    "a lock": r"\(\d, '{}'\)",
    "an index": r"create index concurrently if not exists \w+ on {}",
    "a description": r"'Binding: the columns of {} that say whether one is approved\.'",
}


@pytest.fixture(scope="module")
def catalogue(cluster: Cluster) -> Catalogue:
    return read_catalogue(cluster.dsn())


def doctored(catalogue: Catalogue, name: str, source: str, kind: str = "function") -> Catalogue:
    """As if this part had a line more."""
    parts = [
        replace(part, source=f"{part.source}; {source};")
        if (part.kind, part.name) == (kind, name)
        else part
        for part in catalogue.parts
    ]
    assert parts != list(catalogue.parts)
    return replace(catalogue, parts=tuple(parts))


# Calls.


def test_no_call_goes_up(catalogue: Catalogue) -> None:
    assert len(catalogue.calls) > 100
    assert not catalogue.wrong_calls


def test_every_function_is_in_a_room(catalogue: Catalogue) -> None:
    assert not catalogue.homeless
    assert {part.room for part in catalogue.functions.values()} == set(ROOMS)


@pytest.mark.parametrize(
    ("caller", "callee", "wrong"),
    [
        (
            "dispatch.record_event",
            "dispatch.sweep",
            "dispatch.record_event (events) calls dispatch.sweep (sweep)",
        ),
        (
            "dispatch.process_stripe_event",
            "dispatch.accept_request",
            "dispatch.process_stripe_event (payments) calls dispatch.accept_request (acceptance)",
        ),
        (
            "dispatch.accept_request",
            "dispatch.process_stripe_event",
            "dispatch.accept_request (acceptance) calls dispatch.process_stripe_event (payments)",
        ),
    ],
)
def test_a_wrong_call_is_named(catalogue: Catalogue, caller: str, callee: str, wrong: str) -> None:
    found = doctored(catalogue, caller, f"perform {callee}()").wrong_calls
    assert [each for each in found if each not in catalogue.wrong_calls] == [wrong]


def test_a_view_may_not_call_up_either(catalogue: Catalogue) -> None:
    found = doctored(catalogue, "dispatch.requests", "select dispatch.sweep()", "view").wrong_calls
    assert "view dispatch.requests (binding) calls dispatch.sweep (sweep)" in found


def test_a_function_that_no_file_makes_is_named(cluster: Cluster, tmp_path: Path) -> None:
    for folder in ("functions", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "functions/sweep/dispatch.sweep.sql").unlink()
    assert read_catalogue(cluster.dsn(), tmp_path).homeless == ["dispatch.sweep"]


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("perform dispatch.a(); v_x := dispatch.b(dispatch.c());", "abc"),
        ("perform 1; -- dispatch.a()\n /* dispatch.b() */", ""),
        ("raise notice 'then dispatch.a(id)'; perform dispatch.b('it''s dispatch.c()');", "b"),
        ("execute 'select dispatch.a() -- dispatch.b()'; return 'dispatch.c()';", "a"),
        ("execute format($q$ select %s, 'dispatch.b()' from dispatch.a() $q$, 1);", "a"),
        (r"execute E'select \'dispatch.b()\', dispatch.a()';", "a"),
        ("v_q constant text := 'select dispatch.a()'; v_w := 'dispatch.b()'; execute v_q;", "a"),
        ("do $$ begin perform dispatch.a(); end $$;", "a"),
        ("execute 'create function dispatch.b() …'; comment on function dispatch.c() is 'd';", ""),
        ("create trigger t after insert on r for each row execute function dispatch.a();", "a"),
        ("grant execute on function dispatch.b() to public;", ""),
        ("drop function if exists dispatch.b();", ""),
    ],
)
def test_what_is_a_call(source: str, calls: str) -> None:
    part = Part("function", "dispatch.f", source)
    assert part.calls == tuple(f"dispatch.{each}" for each in calls), code(source)


def test_every_call_that_plpgsql_check_sees_is_seen(cluster: Cluster, catalogue: Catalogue) -> None:
    with psycopg.connect(cluster.dsn(SUPERUSER)) as connection:
        seen = connection.execute(
            """
            select distinct
                p.pronamespace::regnamespace || '.' || p.proname, d.schema || '.' || d.name
            -- (What takes any row it reads for none, in some versions.)
            from (
                select * from pg_proc where 'anyelement'::regtype <> all(proargtypes::oid[])
            ) as p
            join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
            left join pg_trigger as t on t.tgfoid = p.oid
            cross join lateral
                extensions.plpgsql_show_dependency_tb(p.oid, coalesce(t.tgrelid, 0)) as d
            where
                p.pronamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
                and d.type = 'FUNCTION' and d.schema in ('public', 'dispatch')
                -- A trigger's function is read for a table that it serves; not all serve one here.
                and (p.prorettype <> 'trigger'::regtype or t.oid is not null)
            """
        ).fetchall()
    assert len(seen) > 100
    assert set(seen) <= {(call.caller.name, call.callee.name) for call in catalogue.calls}


# Files.


def includes(root: Path) -> list[tuple[str, str]]:
    """Each script, and what it includes, once for each time."""
    return [
        (str(script.relative_to(root)), str((script.parent / name).resolve().relative_to(root)))
        for folder in ("functions", "sql")
        for script in sorted((root / folder).rglob("*.sql"))
        for name in INCLUDE.findall(script.read_text())
    ]


def misplaced(root: Path) -> list[str]:
    """What is not exactly once where it belongs: in its room's list, or in an up.sql."""
    files = [str(file.relative_to(root)) for file in sorted((root / "functions").rglob("*.sql"))]
    found = [
        f"{script} includes {name}, which is not there"
        for script, name in includes(root)
        if not (root / name).exists()
    ]
    lists = [
        (script, name)
        for script, name in includes(root)
        if Path(script).name in ("room.sql", "up.sql")
    ]
    for file in files:
        where = [script for script, name in lists if name == file]
        room = str(Path(file).with_name("room.sql"))
        if len(where) != 1 or (where[0].startswith("functions/") and where != [room]):
            found.append(f"{file} is in the lists {where}")
    names = Counter(Path(file).name for file in files if Path(file).name != "room.sql")
    found += [f"{count} files are named {name}" for name, count in names.items() if count > 1]
    folders = {file.split("/")[1] for file in files}
    found += [f"{folder} is no room" for folder in sorted(folders ^ set(ROOMS))]
    return found


def test_each_file_is_in_the_list_of_its_room() -> None:
    assert len(includes(ROOT)) > 100
    assert not misplaced(ROOT)


def add_a_file(functions: Path) -> None:
    (functions / "sweep/dispatch.new.sql").write_text("select 1;\n")


def lose_a_file(functions: Path) -> None:
    (functions / "sweep/dispatch.sweep.sql").unlink()


def list_it_in_another_room(functions: Path) -> None:
    add_a_file(functions)
    with (functions / "events/room.sql").open("a") as room:
        room.write("\\ir ../sweep/dispatch.new.sql\n")


def list_it_twice(functions: Path) -> None:
    with (functions / "sweep/room.sql").open("a") as room:
        room.write("\\ir dispatch.sweep.sql\n")


def name_two_alike(functions: Path) -> None:
    shutil.copy(functions / "sweep/dispatch.sweep.sql", functions / "events")
    with (functions / "events/room.sql").open("a") as room:
        room.write("\\ir dispatch.sweep.sql\n")


def add_a_room(functions: Path) -> None:
    (functions / "attic").mkdir()
    (functions / "attic/room.sql").touch()
    with (functions.parent / "sql/engine/up.sql").open("a") as script:
        script.write("\\ir ../../functions/attic/room.sql\n")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (add_a_file, "functions/sweep/dispatch.new.sql is in the lists []"),
        (
            lose_a_file,
            "functions/sweep/room.sql includes functions/sweep/dispatch.sweep.sql, "
            "which is not there",
        ),
        (
            list_it_in_another_room,
            "functions/sweep/dispatch.new.sql is in the lists ['functions/events/room.sql']",
        ),
        (
            list_it_twice,
            "functions/sweep/dispatch.sweep.sql is in the lists "
            "['functions/sweep/room.sql', 'functions/sweep/room.sql']",
        ),
        (name_two_alike, "2 files are named dispatch.sweep.sql"),
        (add_a_room, "attic is no room"),
    ],
)
def test_a_file_that_is_misplaced_is_named(
    tmp_path: Path, change: Callable[[Path], None], wrong: str
) -> None:
    for folder in ("functions", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    change(tmp_path / "functions")
    assert [each for each in misplaced(tmp_path) if each not in misplaced(ROOT)] == [wrong]


# Tables of theirs.


def names_of_theirs(script: str) -> list[str]:
    """The tables of theirs that a script names for anything but what it may."""
    text = " ".join(without_comments(script).split())
    for pattern in NAMED_FOR.values():
        text = re.sub(pattern.replace("{}", r"public\.mechanics\b"), "", text)
    return THEIRS.findall(text)


def test_only_the_binding_names_their_tables(catalogue: Catalogue) -> None:
    assert not catalogue.intruders
    scripts = [
        script
        for folder in ("engine", "favorites_priority")
        for script in sorted((ROOT / "sql" / folder).glob("*.sql"))
    ]
    assert len(scripts) > 20
    assert not {
        script.name: names for script in scripts if (names := names_of_theirs(script.read_text()))
    }


@pytest.mark.parametrize(
    ("kind", "name", "source", "wrong"),
    [
        (
            "function",
            "dispatch.sweep",
            "perform from public.mechanics",
            "dispatch.sweep names public.mechanics",
        ),
        (
            "function",
            "dispatch.health",
            "execute 'select from public.service_plans'",
            "dispatch.health names public.service_plans",
        ),
        (
            "view",
            "dispatch.metrics",
            "select from public.customer_favorites",
            "view dispatch.metrics names public.customer_favorites",
        ),
        (
            "policy",
            "session_requests_select",
            "exists (select from public.mechanics)",
            "policy session_requests_select names public.mechanics",
        ),
    ],
)
def test_an_intruder_is_named(
    catalogue: Catalogue, kind: str, name: str, source: str, wrong: str
) -> None:
    found = doctored(catalogue, name, source, kind).intruders
    assert [each for each in found if each not in catalogue.intruders] == [wrong]


def test_the_binding_names_them(catalogue: Catalogue) -> None:
    (view,) = [part for part in catalogue.parts if part.name == "dispatch.favorites"]
    assert view.room == "binding" and THEIRS.findall(view.source) == ["public.customer_favorites"]
    moved = replace(catalogue, parts=(replace(view, room=None),))
    assert moved.intruders == ["view dispatch.favorites names public.customer_favorites"]


@pytest.mark.parametrize(
    "script",
    [
        "select from public.mechanics;",
        "do $$ begin update public.mechanics set is_online = false; end $$;",
        "select from public.session_requests as r inner join public.mechanics as m on m.id = r.id;",
        "create policy p on public.mechanics for select using (true);",
        "create trigger t after insert on public.customer_favorites execute function f();",
        "execute 'delete from public.service_plans';",
    ],
)
def test_a_script_that_names_them_is_found(script: str) -> None:
    assert len(names_of_theirs(script)) == 1
    assert not names_of_theirs(f"-- {script}")


# A column of theirs may have the name of any variable of ours.
READS_THEIRS = re.compile(r"\b(?:from|join|update|into) (?:only )?public\.\w+")


def is_ambiguous(file: str) -> bool:
    text = " ".join(without_comments(file).split())
    return (
        "language plpgsql" in text
        and READS_THEIRS.search(text) is not None
        and "#variable_conflict use_variable" not in text
    )


def test_what_reads_tables_of_theirs_says_which_name_counts() -> None:
    files = {file: file.read_text() for file in sorted((ROOT / "functions").glob("*/*.sql"))}
    assert not [file.name for file, text in files.items() if is_ambiguous(text)]
    plain = {file: text.replace("#variable_conflict", "") for file, text in files.items()}
    assert sum(is_ambiguous(text) for text in plain.values()) > 20


def test_what_catches_all_catches_a_failed_assert() -> None:
    """Which "others" alone does not: a trigger of theirs that asserts would stop what goes on past
    every other error, as a sweep past one row, and be told to clients in its own words."""
    handler = re.compile(r"when\s+others\b", re.IGNORECASE)
    files = [*(ROOT / "functions").rglob("*.sql"), *(ROOT / "sql").rglob("*.sql")]
    assert not [str(path) for path in files if handler.search(path.read_text())]
