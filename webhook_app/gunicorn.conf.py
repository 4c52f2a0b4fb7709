"""gunicorn's settings; its command line overrides them."""

wsgi_app = "webhook_app.wsgi:app"
# Loaded before the fork, so that a wrong configuration is told once and nothing starts. The app
# opens its connections after it.
preload_app = True
workers = 2
worker_class = "gthread"
# More than the pool's connections, so that refusals and /healthz do not queue behind the database.
threads = 8
# Longer than a database call with its one retry: what was begun is answered.
graceful_timeout = 30
limit_request_line = 1024
limit_request_fields = 50
# One per user and machine, shared by all that run gunicorn: of no use here.
control_socket_disable = True
