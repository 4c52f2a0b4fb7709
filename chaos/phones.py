"""The phones of those whose app is closed: a push service, and the senders that send there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from chaos.record import Push, Record
from push_app.keys import new_keys
from stack import ROOT
from stack.install import install_push_role
from stack.push_service import PushService, push_service
from stack.services import Service, Stack

TIMEOUT = 5  # seconds; in chaos/checks.py ON_ITS_WAY is more


@contextmanager
def ringing(stack: Stack, record: Record, senders: int) -> Iterator[PushService]:
    """Everybody has a device, and senders are tended with the stack; what came is in the record.

    Without senders nobody has one.
    """
    public, private = new_keys()
    assert stack.cluster
    dsn = stack.cluster.dsn()
    install_push_role(dsn)
    with push_service(public) as phones, psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("select dispatch.set_push_services(%s)", [[phones.origin]])
        owners = {}
        for user in record.topics if senders else ():
            device = phones.device()
            owners[device.endpoint.removeprefix(phones.origin)] = user
            owner.execute(
                "insert into dispatch.devices (endpoint, user_id, p256dh, auth)"
                " values (%(endpoint)s, %(user_id)s, %(p256dh)s, %(auth)s)",
                {**device.subscription(), "user_id": user},
            )
        settings = {
            "DATABASE_URL": stack.cluster.dsn(
                "push_app", port=stack.network.port if stack.network else None
            ),
            "VAPID_PRIVATE_KEY": private,
            "VAPID_SUBJECT": "mailto:chaos@example.com",
            "PUSH_TIMEOUT": str(TIMEOUT),
            "PYTHONPATH": str(ROOT),
        }
        services = [
            Service(
                f"sender-{number}",
                stack.directory,
                [sys.executable, "-m", "push_app"],
                lambda: True,
                settings,
            )
            for number in range(senders)
        ]
        for sender in services:
            sender.start()
            stack.services.append(sender)
        try:
            yield phones
        finally:
            for sender in services:
                stack.services.remove(sender)
                sender.stop()
        for each in phones.received:
            record.pushes.append(
                Push(
                    owners[each.path],
                    each.message["request_id"],
                    each.message["event_id"],
                    each.at,
                    each.status == 201,
                )
            )
        record.unsound_pushes += phones.faults
