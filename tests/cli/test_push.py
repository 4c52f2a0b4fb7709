"""`supabase db push`: what it installs, upgrades and leaves alone."""

from pathlib import Path

import pytest

from stack import ROOT
from stack.install import DOWN, install
from stack.postgres import run_psql
from stack.supabase_cli import run_supabase
from tests.database import Database, dump, rpc

SEED = ROOT / "supabase/seed.sql"
MIGRATIONS = ROOT / "supabase/migrations"
VERSIONS = [path.name.partition("_")[0] for path in MIGRATIONS.glob("*.sql")]


def push(database: Database, *arguments: str, project: Path = ROOT) -> str:
    """What the CLI says while it pushes."""
    result = run_supabase(database.dsn(), "db", "push", *arguments, project=project)
    assert "WARN" not in result.stderr
    return result.stdout + result.stderr


def versions(database: Database) -> list[str]:
    query = "select version from supabase_migrations.schema_migrations order by version"
    return [row["version"] for row in database.sql(query)]


def test_postgres_who_is_no_superuser_installs_all_of_it(hosted: Database) -> None:
    assert hosted.value("select rolsuper from pg_roles where rolname = current_user") is False
    assert versions(hosted) == sorted(VERSIONS)
    assert hosted.value("select dispatch.favorites_priority_enabled()") is False
    run_psql(hosted.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))


def test_pushed_again_it_is_up_to_date(hosted: Database) -> None:
    before = dump(hosted)
    assert "is up to date" in push(hosted)
    assert dump(hosted) == before


def test_it_is_what_psql_installs(hosted: Database, empty_db: Database) -> None:
    install(empty_db.dsn())
    assert dump(hosted) == dump(empty_db)


def test_an_installation_with_the_flag_on_is_left_as_it_is(db: Database) -> None:
    """The engine's migration comes before the feature's, and must not switch it off meanwhile."""
    request = db.make_request(preferred=db.make_mechanic())
    before = sorted(dump(db).splitlines())
    with db.unchanged():
        # What a database has between two migrations.
        for name in ("marketplace", "engine"):
            run_psql(db.dsn(), "-1", "-f", str(next(MIGRATIONS.glob(f"*_{name}.sql"))))
            assert sorted(dump(db).splitlines()) == before
        push(db)
        assert sorted(dump(db).splitlines()) == before
    assert db.log(request) == ["priority_request"]


@pytest.mark.further
def test_a_project_with_newer_migrations_of_its_own(empty_db: Database, project: Path) -> None:
    theirs = project / "supabase/migrations/29990101000000_theirs.sql"
    theirs.write_text("create table public.theirs (id integer primary key);")
    empty_db.sql(theirs.read_text())
    arguments = ("migration", "repair", "--status", "applied", "29990101000000")
    run_supabase(empty_db.dsn(), *arguments, project=project)
    with pytest.raises(RuntimeError, match="--include-all"):
        push(empty_db, project=project)
    push(empty_db, "--include-all", project=project)
    assert versions(empty_db) == sorted([*VERSIONS, "29990101000000"])


@pytest.mark.further
def test_taken_out_by_down_the_feature_is_pushed_again(empty_db: Database) -> None:
    push(empty_db)
    before = dump(empty_db)
    install(empty_db.dsn(), DOWN)
    feature = max(MIGRATIONS.glob("*_favorites_priority.sql")).name.partition("_")[0]
    run_supabase(empty_db.dsn(), "migration", "repair", "--status", "reverted", feature)
    push(empty_db)
    assert dump(empty_db) == before


def test_the_demo_people_are_there_once(hosted: Database) -> None:
    tables = ("auth.users", "public.mechanics", "public.customer_favorites")
    counts = [hosted.value(f"select count(*) from {table}") for table in tables]
    assert counts == [6, 4, 3]
    with hosted.unchanged():
        run_psql(hosted.dsn(), "-f", str(SEED))
    assert [hosted.value(f"select count(*) from {table}") for table in tables] == counts


def test_a_demo_customer_has_favourites_to_book(hosted: Database) -> None:
    carla = hosted.value("select id from auth.users where email = 'carla@demo.example'")
    favourites = rpc(hosted.connect(carla), "list_favorite_mechanics")
    assert sorted(each["display_name"] for each in favourites) == ["Frank", "Mona"]


@pytest.mark.further
def test_the_webhooks_role_and_the_flag_by_the_cli(empty_db: Database) -> None:
    """As docs/installing.md says."""
    push(empty_db)
    run_supabase(empty_db.dsn(), "db", "query", "--file", str(ROOT / "sql/webhook_role.sql"))
    query = "select has_function_privilege('webhook_app', 'process_stripe_event(jsonb)', 'execute')"
    assert empty_db.value(query) is True
    run_supabase(empty_db.dsn(), "db", "query", "select dispatch.set_favorites_priority(true)")
    assert empty_db.value("select dispatch.favorites_priority_enabled()") is True
