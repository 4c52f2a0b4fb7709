"""A stand-in for Stripe's Checkout: its API, its page, and the signed event once it is paid."""

import os
import uuid
from collections.abc import Mapping
from threading import Thread
from typing import Any

from flask import Flask, jsonify, redirect, render_template_string, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from stack.clients import paid_checkout, post_event

app = Flask(__name__)
# Amounts are in a currency's smallest unit, which is a hundredth of all but these.
WHOLE = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
THOUSANDTHS = "bhd jod kwd omr tnd"
sessions: dict[str, dict[str, Any]] = {}
# What was asked with an idempotency key, and how it was answered.
by_key: dict[str, tuple[Mapping[str, str], int, dict[str, Any]]] = {}
faults: list[str] = []  # of the next sessions to be made

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Checkout (stand-in)</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { display: grid; gap: 1rem; max-width: 24rem; margin: 12vh auto; padding: 1rem }
  button { font: inherit; font-weight: 600; padding: .7rem 1rem }
</style>
<h1>{{ name }}</h1>
<p>{{ amount }} {{ currency }}</p>
{% if session.payment_status == "paid" %}
<p>This is paid already.</p>
{% else %}
<form method="post"><button type="submit">Pay</button></form>
{% endif %}
<a href="{{ session.cancel_url }}">Back</a>
<p>This page stands in for Stripe's. No money moves.</p>
"""


class StripeError(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        self.status = status
        self.answer = {"error": {"type": kind, "message": message}}


@app.errorhandler(StripeError)
def refuse(error: StripeError) -> tuple[Response, int]:
    return jsonify(error.answer), error.status


@app.errorhandler(HTTPException)
def unknown(error: HTTPException) -> tuple[Response, int]:
    return refuse(StripeError(error.code or 500, "invalid_request_error", str(error)))


@app.post("/v1/checkout/sessions")
def create_session() -> Response:
    if request.headers.get("Authorization") != f"Bearer {os.environ['STRIPE_SECRET_KEY']}":
        raise StripeError(401, "invalid_request_error", "Invalid API Key provided")
    asked = request.form.to_dict()
    key = request.headers.get("Idempotency-Key", str(uuid.uuid4()))
    if key in by_key:
        before, status, answer = by_key[key]
        if before != asked:
            raise StripeError(400, "idempotency_error", "This key came with other parameters")
        # As it was then: what became of the session since is not in it.
        response = jsonify(answer)
        response.status_code = status
        response.headers["Idempotent-Replayed"] = "true"
        return response
    if faults:
        error = StripeError(500, "api_error", faults.pop())
        by_key[key] = asked, error.status, error.answer
        raise error
    session_id = f"cs_test_{uuid.uuid4().hex}"
    session = {
        "id": session_id,
        "object": "checkout.session",
        "url": url_for("show", session_id=session_id, _external=True),
        "mode": asked["mode"],
        "status": "open",
        "payment_status": "unpaid",
        "amount_total": int(asked["line_items[0][price_data][unit_amount]"]),
        "currency": asked["line_items[0][price_data][currency]"],
        "metadata": {
            name.removeprefix("metadata[").removesuffix("]"): value
            for name, value in asked.items()
            if name.startswith("metadata[")
        },
        "success_url": asked["success_url"],
        "cancel_url": asked["cancel_url"],
        "product": asked["line_items[0][price_data][product_data][name]"],
    }
    sessions[session_id] = session
    by_key[key] = asked, 200, dict(session)
    return jsonify(session)


@app.post("/faults")
def add_fault() -> Response:
    """For tests: the next session is not made, by a fault of Stripe's own."""
    faults.append("An unknown error occurred")
    return jsonify(faults)


@app.post("/v1/checkout/sessions/<session_id>/expire")
def expire_session(session_id: str) -> Response:
    session = find(session_id)
    if session["status"] != "open":
        raise StripeError(400, "invalid_request_error", "Only open sessions can be expired")
    session |= {"status": "expired", "url": None}
    return jsonify(session)


@app.get("/v1/checkout/sessions/<session_id>")
def read_session(session_id: str) -> Response:
    return jsonify(find(session_id))


@app.get("/pay/<session_id>")
def show(session_id: str) -> str:
    session = find(session_id)
    return render_template_string(
        PAGE,
        session=session,
        name=session["product"],
        amount=amount(session["amount_total"], session["currency"]),
        currency=session["currency"].upper(),
    )


@app.post("/pay/<session_id>")
def pay(session_id: str) -> Response:
    session = find(session_id)
    if session["payment_status"] == "unpaid":
        session |= {"status": "complete", "payment_status": "paid", "url": None}
        asked = {name: session[name] for name in ("mode", "amount_total", "currency")}
        event = paid_checkout(session["metadata"], id=session_id, **asked)
        # Stripe does not wait for its event to be taken before it sends the customer back.
        Thread(target=post_event, args=(os.environ, event)).start()
    return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id), 303)


def amount(smallest_units: int, currency: str) -> str:
    code = currency.lower()
    digits = 0 if code in WHOLE.split() else 3 if code in THOUSANDTHS.split() else 2
    return f"{smallest_units / 10**digits:.{digits}f}"


def find(session_id: str) -> dict[str, Any]:
    if session_id not in sessions:
        raise StripeError(404, "invalid_request_error", f"No such checkout.session: {session_id}")
    return sessions[session_id]
