"""What the stack believes of this machine: of its ports, and of the PostgreSQL that is there."""

import socket
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from stack import postgres
from stack.network import answers, first_outgoing, free_ports, listens


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    assert all(port < first_outgoing() for port in free_ports(*[0] * 50))


def test_a_port_is_not_given_twice_before_its_server_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another would be there in its place, and be asked for what it does not know."""
    monkeypatch.setenv("STACK_PORTS", "10000-10030")
    given = [free_ports(0)[0] for _ in range(10)]
    assert len(set(given)) == 10 and all(10000 <= port <= 10030 for port in given)


def test_a_wanted_port_is_given_unless_somebody_has_it() -> None:
    (wanted,) = free_ports(0)
    assert free_ports(wanted) == [wanted]
    with socket.create_server(("127.0.0.1", wanted)):
        assert free_ports(wanted) != [wanted]


def test_a_server_that_answers_nonsense_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(port)
        Thread(target=echo, args=(server,), daemon=True).start()
        assert not answers(f"http://127.0.0.1:{port}/")


def echo(server: socket.socket) -> None:
    """Answers each request with that request, as a socket connected to itself does."""
    with suppress(OSError):  # until the server is closed
        while True:
            connection = server.accept()[0]
            with connection:
                connection.sendall(connection.recv(4096))


def test_a_client_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's own packages for Debian bring the newest client beside an older server."""
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    for program in ("9/bin/postgres", "17/bin/postgres", "17/bin/psql", "18/bin/psql"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).touch()
    assert postgres.binary("initdb") == str(tmp_path / "17/bin/initdb")
