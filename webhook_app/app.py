"""The HTTP side: two routes, small JSON answers, one log line for each webhook request."""

import json
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from .config import Config
from .database import Database
from .signature import BadSignature, verify

MAX_BODY = 1024 * 1024
RETRY_AFTER = "10"
WEBHOOK_PATH = "/stripe/webhook"

log = logging.getLogger("webhook_app")

# What Stripe's ids and types are made of; anything else may be a person's.
_WORD = re.compile(r"[A-Za-z0-9_.]{1,255}")

# Escapes that are JSON but not jsonb (NUL, half a surrogate pair), next to those to keep.
_ESCAPE = re.compile(
    r"(?P<keep>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?!0000|[dD][89a-fA-F])|\\[^u])"
    r"|\\u[0-9a-fA-F]{4}"
)


class Refusal(Exception):
    """An answer other than 200; `reason` goes to the log, the rest to the caller."""

    def __init__(self, status: int, error: str, hint: str, reason: str | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.reason = status, error, hint, reason or error


def create_app(config: Config) -> Flask:
    app = Flask(__name__, static_folder=None)
    # One byte more than allowed: Werkzeug cuts a body without a length at its limit, in silence.
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY + 1, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False  # `/stripe//webhook` is another path, not a redirect
    database = app.extensions["database"] = Database(config)

    @app.post(WEBHOOK_PATH)
    def stripe_webhook() -> Response:
        event = _verified_event(config)
        try:
            result = database.process_event(event)
        except psycopg.Error as error:
            raise _database_refusal(error) from error
        answer = {"outcome": result["outcome"], "request_id": result["request_id"]}
        g.log |= answer
        if answer["outcome"] == "error":
            raise Refusal(
                500, "not_processed", "The event is kept with its error; mend the cause, re-send."
            )
        return _json(answer)

    @app.get("/healthz")
    def healthz() -> Response:
        try:
            database.ping()
        except psycopg.Error as error:
            raise _unavailable(error) from error
        return _json({"status": "ok"})

    @app.after_request
    def take_the_whole_request(response: Response) -> Response:
        # Whoever is still sending when the connection ends may lose the answer.
        _discard_body()
        return response

    @app.before_request
    def start_log_line() -> None:
        g.started = time.monotonic()
        g.log = {"event_id": None, "type": None, "outcome": None, "request_id": None}

    @app.after_request
    def write_log_line(response: Response) -> Response:
        if request.path == WEBHOOK_PATH:
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **g.log,
                "status": response.status_code,
                "ms": round((time.monotonic() - g.started) * 1000, 1),
            }
            log.info(json.dumps(line))
        return response

    @app.errorhandler(Refusal)
    def refuse(refusal: Refusal) -> Response:
        headers = {"Retry-After": RETRY_AFTER} if refusal.status == 503 else {}
        return _refused(refusal, headers)

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        word = error.name.lower().replace(" ", "_")
        hint = f"POST {WEBHOOK_PATH} and GET /healthz are all there is."
        if isinstance(error, RequestEntityTooLarge):
            word, hint = "too_large", f"A body has at most {MAX_BODY} bytes."
        # Among Werkzeug's headers are those that the status asks for, such as Allow.
        return _refused(Refusal(error.code or 500, word, hint), dict(error.get_headers()))

    @app.errorhandler(Exception)
    def refuse_bug(error: Exception) -> Response:
        # The type alone: an exception's text may quote the event.
        refusal = Refusal(500, "internal", "The app's log has the reason.", type(error).__name__)
        return _refused(refusal, {})

    return app


def _discard_body() -> None:
    """Read what is left of the body, as much as nginx.conf lets through."""
    body, left = request.environ["wsgi.input"], 2 * MAX_BODY
    with suppress(Exception):  # a broken chunk, a client that is gone: nobody to tell
        while left > 0 and (data := body.read(min(left, 65536))):
            left -= len(data)


def _verified_event(config: Config) -> str:
    """The body as JSON text the database can take; its id and type go to the log."""
    try:
        data = request.get_data(cache=False)
        if len(data) > MAX_BODY:
            raise RequestEntityTooLarge
        body = data.decode()
    except HTTPException:
        raise
    except Exception as error:  # what gunicorn raises for a broken chunk has no narrower base
        raise _no_event(type(error).__name__) from error
    try:
        verify(body, request.headers.get("Stripe-Signature"), config.stripe_secrets)
    except BadSignature as error:
        hint = "Sign with this endpoint's secret, within 300 s by this machine's clock."
        raise Refusal(400, "bad_signature", hint, str(error)) from error
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _no_event(type(error).__name__) from error
    if not isinstance(event, dict):
        raise _no_event("not_an_object")
    g.log |= {"event_id": _loggable(event.get("id")), "type": _loggable(event.get("type"))}
    if r"\u" not in body:
        return body
    # A name typed with a NUL must not cost its customer the paid session.
    return _ESCAPE.sub(lambda match: match["keep"] or r"\ufffd", body)


def _loggable(value: Any) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _no_event(reason: str) -> Refusal:
    return Refusal(400, "invalid_event", "The body must be a Stripe event, as JSON.", reason)


def _unavailable(error: psycopg.Error) -> Refusal:
    return Refusal(503, "database_unavailable", "Send it again later.", _reason(error))


def _database_refusal(error: psycopg.Error) -> Refusal:
    if error.sqlstate == "PT422" or isinstance(error, psycopg.DataError):
        return _no_event(_reason(error))
    # OperationalError: no connection, a lost one, a timeout, a shutdown, a deadlock.
    passing = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
    if isinstance(error, passing):
        return _unavailable(error)
    return Refusal(500, "database_error", "The app's log has the reason.", _reason(error))


def _reason(error: psycopg.Error) -> str:
    # No message: PostgreSQL's may quote the event.
    return " ".join(filter(None, [type(error).__name__, error.sqlstate]))


def _refused(refusal: Refusal, headers: Mapping[str, str]) -> Response:
    g.log["reason"] = refusal.reason
    return _json({"error": refusal.error, "hint": refusal.hint}, refusal.status, headers)


def _json(
    body: Mapping[str, str | None], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")
