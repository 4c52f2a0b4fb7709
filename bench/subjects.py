"""What `make bench` measures, in the order of its table."""

from bench import (
    accept,
    felt,
    growth,
    hub,
    intake,
    lateness,
    notices,
    peers,
    presence,
    push,
    recipients,
    soak,
    sweep,
    webhook,
)

SUBJECTS = {
    "felt": felt.measure,
    "intake": intake.measure,
    "webhook": webhook.measure,
    "accept": accept.measure,
    "notices": notices.measure,
    "lateness": lateness.measure,
    "sweep": sweep.measure,
    "recipients": recipients.measure,
    "presence": presence.measure,
    "push": push.measure,
    "hub": hub.measure,
    "growth": growth.measure,
    "peers": peers.measure,
    "soak": soak.measure,
}
# It takes --duration seconds alone: only when asked for.
LONG = "soak"
