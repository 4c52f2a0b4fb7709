"""A second way to be told, for those who have a mail provider: a push service that sends e-mail.

Whoever is told by e-mail has a device whose endpoint is here. Its pushes are claimed, encrypted and
finished by the sender like all others; here each becomes a mail, and what the mail server says is
the answer: taken (201), no such address (410: the device is removed), not now (503: tried again).

    python -m examples.push_by_mail            # serves, on 127.0.0.1 alone
    python -m examples.push_by_mail device     # the SQL that makes somebody a device here
"""

import base64
import hashlib
import json
import os
import smtplib
import sys
import threading
from collections import deque
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import http_ece

from push_app.keys import public_key, read_key

# A private key of its own, as `python -m push_app keys` prints one; all its devices share it.
KEY = os.environ["MAIL_PRIVATE_KEY"]
PORT = int(os.environ.get("MAIL_PORT", "8025"))
AUTH = hashlib.sha256(b"auth" + KEY.encode()).digest()[:16]
# The sender waits for 10 seconds for the answer, this for each of the mail server's.
TIMEOUT = 8
# The same push comes again where that took longer: what was mailed last, and what is being mailed.
mailed: deque[tuple[str, bytes]] = deque(maxlen=1000)
mailing: set[tuple[str, bytes]] = set()
lock = threading.Lock()

DEVICE = f"""\
insert into dispatch.devices (endpoint, user_id, p256dh, auth)
select
    'http://127.0.0.1:{PORT}/' || encode(convert_to(u.email, 'UTF8'), 'hex'), u.id,
    '{public_key(read_key(KEY))}', '{base64.urlsafe_b64encode(AUTH).rstrip(b"=").decode()}'
from auth.users as u where u.email = :'email'
on conflict (endpoint) do update set user_id = excluded.user_id;
"""  # noqa: S608  (nobody's input)


def send(address: str, title: str, body: str) -> int:
    """Hand a mail to the provider; the push service's answer. For SMS, call theirs here."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = os.environ["MAIL_FROM"], address, title
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid()
    mail.set_content(f"{body}\n\n{os.environ['APP_URL']}\n")
    server = urlsplit(os.environ["SMTP_URL"])  # smtps://user:password@mail.example.com
    connect = smtplib.SMTP_SSL if server.scheme == "smtps" else smtplib.SMTP
    answer = 503
    try:
        with connect(server.hostname or "", server.port or 0, timeout=TIMEOUT) as smtp:
            if server.username and server.password:
                smtp.login(unquote(server.username), unquote(server.password))
            try:
                smtp.send_message(mail)
                answer = 201
            except smtplib.SMTPRecipientsRefused as error:
                ((code, _),) = error.recipients.values()
                answer = 410 if code >= 500 else 503
    except (OSError, smtplib.SMTPException) as error:  # how it says goodbye changes nothing
        print(f"mail server: {type(error).__name__}", file=sys.stderr)
    return answer


def send_once(address: str, text: bytes) -> int:
    push = (address, text)
    with lock:
        if push in mailed:
            return 201
        if push in mailing:
            return 503
        mailing.add(push)
    try:
        message = json.loads(text)
        answer = send(address, message["title"], message["body"])
        if answer == 201:
            mailed.append(push)
        return answer
    finally:
        mailing.discard(push)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(self.answer())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self) -> int:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > 4096:  # as RFC 8030 has it
            return 413
        body = self.rfile.read(int(length))
        try:
            # Only who knows the device's keys can have written it: the database.
            key = read_key(KEY).private_key
            text = http_ece.decrypt(body, private_key=key, auth_secret=AUTH, version="aes128gcm")
            return send_once(bytes.fromhex(self.path[1:]).decode(), text)
        except (http_ece.ECEException, ValueError, KeyError):
            return 400

    def log_message(self, *_: object) -> None:
        """The sender logs each push, and no address."""


if __name__ == "__main__":
    if sys.argv[1:] == ["device"]:
        print(DEVICE, end="")
    else:
        ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
