"""What gunicorn serves: `gunicorn -c webhook_app/gunicorn.conf.py`."""

import os
import sys

from app_base.process import CANNOT_START, log_to_output
from app_base.settings import ConfigError

from .app import create_app
from .config import Config

log_to_output("webhook_app")
try:
    app = create_app(Config.from_environ(os.environ))
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(CANNOT_START)
