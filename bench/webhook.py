"""Events posted to the webhook app, on one processor, beside a Flask handler with a bare INSERT.

Both run under gunicorn with the app's own settings, and get the same signed events from wrk.
"""

import json
import os
import random
import subprocess
import tempfile
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from stripe import WebhookSignature

from bench.database import Database, user_id
from bench.measure import Result, Subject, ratio, rounds
from stack.clients import paid_checkout
from stack.install import install_webhook_role
from stack.network import free_ports
from stack.services import Service, webhook

SECRET = "whsec_bench"
CLIENTS = 16
# More than either takes in a round: an event posted again would be a duplicate.
EVENTS_PER_SECOND = 4_000
PROCESSOR = ("taskset", "--cpu-list", "0")
OTHER_PROCESSORS = ("taskset", "--cpu-list", f"1-{(os.cpu_count() or 2) - 1}")


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    install_webhook_role(db.dsn)
    with tempfile.TemporaryDirectory() as name, db.sweeping():
        directory = Path(name)
        app_port, bare_port = free_ports(0, 0)
        app = webhook(directory, db.cluster.dsn("webhook_app", db.name), app_port, SECRET)
        bare = webhook(directory, db.dsn, bare_port, SECRET)
        bare = replace(bare, name="bare", argv=[*bare.argv, "bench.bare_webhook:app"])
        with pinned(app) as app, pinned(bare):
            before = memory(app)
            rates = rounds(
                db.size,
                {
                    "bare handler": lambda: post(db, directory, bare_port),
                    "webhook app": lambda: post(db, directory, app_port),
                },
            )
            after = memory(app)
    yield ratio(
        "webhook app under gunicorn, one processor",
        ">= 0.7",
        rates["webhook app"],
        rates["bare handler"],
        "Flask, signature check, bare INSERT",
    )
    yield Result("memory of a worker of the webhook app, at its start", before, "MB")
    yield Result("memory of a worker of the webhook app, after the load", after, "MB")


def pinned(service: Service) -> AbstractContextManager[Service]:
    return replace(service, argv=[*PROCESSOR, *service.argv]).running()


def post(db: Database, directory: Path, port: int) -> float:
    """Events a second."""
    seconds = max(int(db.size.seconds), 1)
    events = directory / "events"
    with events.open("w") as file:
        for _ in range(db.size.of(seconds * EVENTS_PER_SECOND)):
            body = json.dumps(event())
            print(WebhookSignature.generate_signature_header(body, SECRET), file=file)
            print(body, file=file)
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "-s"]
    command += [str(Path(__file__).with_name("post_events.lua")), f"http://127.0.0.1:{port}"]
    output = subprocess.run(
        [*OTHER_PROCESSORS, *command, "--", str(events)], capture_output=True, text=True, check=True
    ).stdout
    counts = json.loads(output.splitlines()[-1])
    if counts["refused"] or counts["broken"]:
        raise RuntimeError(f"not all events were taken:\n{output}")
    return float(counts["requests"] / counts["microseconds"] * 1_000_000)


def event() -> dict[str, object]:
    customer, mechanic = random.randint(1001, 11000), random.randint(1, 1000)
    return paid_checkout(
        {
            "customer_id": user_id(customer),
            "plan_code": "quick-chat",
            "session_type": "chat",
            "routing_type": "priority_broadcast",
            "preferred_mechanic_id": user_id(mechanic),
            "priority_window_minutes": "10",
        }
    )


def memory(service: Service) -> float:
    """Megabytes resident in the largest of gunicorn's workers."""
    assert service.process
    master = service.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in workers]
    resident = [
        int(line.split()[1])
        for status in statuses
        for line in status.splitlines()
        if line.startswith("VmRSS:")
    ]
    return max(resident) / 1024
