"""The audit of the dependencies, by its real programs, against advisory services of our own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stack import ROOT

# What OSV and npm's registry answer of a package with an advisory.
OSV = {"vulns": [{"id": "PYSEC-1", "affected": []}]}
NPM = {"ws": [{"id": 1, "url": "", "title": "", "severity": "high", "vulnerable_versions": "*"}]}


class Service(ThreadingHTTPServer):
    """Both services at one address."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 200
        self.is_bad = False  # Flask, and ws, have an advisory

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/osv":
            answer: Any = NPM
        elif json.loads(asked)["package"]["name"] == "flask":
            answer = OSV
        else:
            answer = {}
        self.reply(self.server.status, answer if self.server.is_bad else {})

    def do_GET(self) -> None:
        self.reply(404, {})

    def reply(self, status: int, answer: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        yield service
        service.shutdown()
        thread.join()


def audit(service: Service, *arguments: str) -> tuple[int, str]:
    addresses = {"PIP_AUDIT_OSV_URL": f"{service.url}/osv", "npm_config_registry": service.url}
    result = subprocess.run(
        [sys.executable, "-m", "stack.audit", *arguments],
        cwd=ROOT,
        env=os.environ | addresses,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout


@pytest.mark.further
def test_nothing_is_known(service: Service) -> None:
    clean = "PyPI: 0 known vulnerabilities\nnpm: 0 known vulnerabilities\n"
    assert audit(service) == (0, clean)


def test_a_known_vulnerability_fails_the_check(service: Service) -> None:
    service.is_bad = True
    found = "PyPI: 1 known vulnerabilities\n  flask 3.1.3: PYSEC-1\n"
    found += "npm: 2 known vulnerabilities\n  happy-dom: high\n  ws: high\n"  # that has this
    assert audit(service, "--if-reachable") == (1, found)


@pytest.mark.further
def test_a_service_that_does_not_answer_is_no_clean_audit(service: Service) -> None:
    service.status = 404
    status, output = audit(service)
    assert status == 1 and output.count("NOT AUDITED") == 2
    status, output = audit(service, "--if-reachable")
    assert status == 0 and output.count("NOT AUDITED") == 2
