"""Ports of this machine: which are free, and who answers there."""

import os
import secrets
import socket
import urllib.request
from collections import deque
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path

# Given a moment ago: their servers may not have begun to listen yet.
given: deque[int] = deque(maxlen=100)


def first_outgoing() -> int:
    """The first port of those that the system gives to outgoing connections."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def free_ports(*wanted: int) -> list[int]:
    """For each wanted port that port if nobody has it, else (and for 0) any free one.

    The free ones are not of those that the system gives to outgoing connections: one of these
    could take the port before its server does, or be a client of that server connected to itself.
    With STACK_PORTS=first-last they are of these, so that processes beside each other do not choose
    the same.
    """
    first, last = os.environ.get("STACK_PORTS", f"10000-{first_outgoing() - 1}").split("-")
    others = [port for port in range(int(first), int(last) + 1) if port not in given]
    with ExitStack() as held:
        ports = []
        for port in wanted:
            candidate = held.enter_context(socket.socket())
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            while True:
                with suppress(OSError):
                    candidate.bind(("127.0.0.1", port or secrets.choice(others)))
                    break
                port = 0
            ports.append(candidate.getsockname()[1])
        given.extend(ports)
        return ports


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310
            return bool(response.status == 200)
    # A server that dies answers with nothing, or with half of it.
    except (OSError, HTTPException):
        return False


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as candidate:
        if candidate.connect_ex((host, port)) != 0:
            return False
        # Where nobody listens, a socket that was given this very port meets itself.
        return bool(candidate.getsockname() != candidate.getpeername())
