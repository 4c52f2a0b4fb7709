"""What gunicorn serves: `gunicorn -c webhook_app/gunicorn.conf.py`."""

import logging
import os
import sys

from .app import create_app
from .config import Config, ConfigError

# The status by which gunicorn knows that a worker cannot start: it stops, instead of starting
# another for ever.
WORKER_BOOT_ERROR = 3

logger = logging.getLogger("webhook_app")
logger.addHandler(logging.StreamHandler(sys.stdout))
logger.setLevel(logging.INFO)
logger.propagate = False

try:
    app = create_app(Config.from_environ(os.environ))
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(WORKER_BOOT_ERROR)
