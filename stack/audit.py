"""Ask the advisory databases about every pinned package: OSV for PyPI's, npm's registry for npm's.

An audit that could not be made is no audit that found nothing: it says so, and fails, unless it
was asked for with `--if-reachable`.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from stack import ROOT

PIP_AUDIT = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv"]
PIP_AUDIT += ["--requirement", "requirements.lock", "--require-hashes", "--disable-pip"]
PIP_AUDIT += ["--format", "json", "--desc", "off", "--progress-spinner", "off"]
NPM_AUDIT = ["npm", "audit", "--prefix", "stack", "--package-lock-only", "--json"]


class NotAudited(Exception):
    """The advisory database gave no answer; the text is what was said of it."""


def run(command: list[str], answer: str) -> Any:
    """What stands under the key `answer` of the JSON that the command prints.

    Both programs exit with 1 for a finding and for a failure alike.
    """
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    try:
        printed = json.loads(result.stdout)
    except ValueError as error:
        raise NotAudited((result.stderr.splitlines() or ["no answer"])[-1]) from error
    if answer not in printed:
        raise NotAudited(printed.get("message", "no answer"))
    return printed[answer]


def audit_pypi() -> list[str]:
    return [
        f"{package['name']} {package['version']}: {advisory['id']}"
        for package in run(PIP_AUDIT, "dependencies")
        for advisory in package["vulns"]
    ]


def audit_npm() -> list[str]:
    return [
        f"{name}: {found['severity']}" for name, found in run(NPM_AUDIT, "vulnerabilities").items()
    ]


AUDITS: dict[str, Callable[[], list[str]]] = {"PyPI": audit_pypi, "npm": audit_npm}


def main(arguments: list[str]) -> int:
    may_be_away = arguments == ["--if-reachable"]
    passed = True
    for registry, audit in AUDITS.items():
        try:
            findings = audit()
        except NotAudited as error:
            print(f"{registry}: NOT AUDITED, its advisory service is not reachable: {error}")
            passed = passed and may_be_away
        else:
            print(*[f"{registry}: {len(findings)} known vulnerabilities", *findings], sep="\n  ")
            passed = passed and not findings
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
