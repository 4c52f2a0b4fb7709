"""What `bench/webhook.py` compares with: Flask, Stripe's signature, one bare INSERT."""

import json
import os

from flask import Flask, Response, jsonify, request
from psycopg_pool import ConnectionPool
from stripe import WebhookSignature

SECRET = os.environ["STRIPE_WEBHOOK_SECRET"]
INSERT = """
    insert into bench.session_requests (
        customer_id, session_type, plan_code, status, customer_name, customer_email, metadata,
        preferred_mechanic_id, priority_window_minutes, priority_notified_at
    )
    values (%s, 'chat', %s, 'pending', %s, %s, jsonb_build_object(
        'stripe_checkout_session_id', %s::text, 'stripe_payment_intent', %s::text
    ), %s, 10, now())
    on conflict do nothing
"""

app = Flask(__name__)
pool = ConnectionPool(os.environ["DATABASE_URL"], kwargs={"autocommit": True}, open=False)


@app.post("/stripe/webhook")
def stripe_webhook() -> Response:
    body = request.get_data().decode()
    WebhookSignature.verify_header(body, request.headers["Stripe-Signature"], SECRET, 300)
    session = json.loads(body)["data"]["object"]
    pool.open()  # after gunicorn's fork; once open, this does nothing
    with pool.connection() as connection:
        connection.execute(
            INSERT,
            (
                session["metadata"]["customer_id"],
                session["metadata"]["plan_code"],
                session["customer_details"]["name"],
                session["customer_details"]["email"],
                session["id"],
                session["payment_intent"],
                session["metadata"]["preferred_mechanic_id"],
            ),
        )
    return jsonify(ok=True)


@app.get("/healthz")
def healthz() -> Response:
    return jsonify(ok=True)
