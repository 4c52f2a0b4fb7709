"""gunicorn's settings; its command line overrides them.

It listens on 127.0.0.1:8000, for nginx.conf; or on all addresses at $PORT, where a platform sets
that and has a proxy of its own, which must read a whole request before it hands it on.
"""

import os
import signal
from typing import Any

wsgi_app = "webhook_app.wsgi:app"
# Loaded before the fork, so that a wrong configuration is told once and nothing starts. The app
# opens its connections after it.
preload_app = True
workers = 2
worker_class = "gthread"
# More than the pool's connections, so that refusals and /healthz do not queue behind the database.
threads = 8
# Every answer says that the connection ends with it. One that is given before all of a long body is
# read (413) would else promise an answer to the next request, and gunicorn closes without one. The
# clients' connections are nginx's to keep.
keepalive = 0
# Longer than a database call with its one retry: what was begun is answered.
graceful_timeout = 30
limit_request_line = 1024
limit_request_fields = 50
# One per user and machine, shared by all that run gunicorn: of no use here.
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    worker.signals_of_the_master = server.SIG_QUEUE


def post_worker_init(worker: Any) -> None:
    """Stop a worker that was told to stop while it was starting.

    Until a worker has its own signal handlers, the master's handler, which it inherits, takes its
    signals and puts them where only a master looks: the stop would wait for it until
    `graceful_timeout`, and then kill it.
    """
    while not worker.signals_of_the_master.empty():
        taken = worker.signals_of_the_master.get()
        if taken in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            os.kill(os.getpid(), taken)
