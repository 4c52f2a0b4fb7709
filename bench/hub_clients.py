"""Thousands of clients of the hub in one process, which say when each event came to each of them.

For bench/hub.py: `python -m bench.hub_clients <port> <file of tokens>`. It says "joined" when all
are; then, for each line on its input, how long until `count` deliveries were there:
`<count> <seconds>` is answered by `{"<event id>": [<when>, …], …}`.
"""

import json
import re
import resource
import select
import socket
import sys
import time
from pathlib import Path

EVENT = re.compile(rb"^id: (\d+)\nevent:", re.MULTILINE)


def main() -> None:
    port, tokens = int(sys.argv[1]), Path(sys.argv[2]).read_text().split()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poll, clients = select.epoll(), {}
    # As many at once as come in a busy moment.
    for first in range(0, len(tokens), 100):
        joining = [join(port, token) for token in tokens[first : first + 100]]
        for client in joining:
            began = b""
            while b"retry: " not in began:
                began += client.recv(65_536) or b"retry: "
            assert began.startswith(b"HTTP/1.1 200"), began
            client.setblocking(False)
            poll.register(client, select.EPOLLIN)
            clients[client.fileno()] = client
    print("joined", flush=True)
    for line in sys.stdin:
        count, seconds = line.split()
        print(json.dumps(take(poll, clients, int(count), float(seconds))), flush=True)


def join(port: int, token: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    head = f"GET /events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\r\n"
    client.sendall(head.encode())
    return client


def take(
    poll: select.epoll, clients: dict[int, socket.socket], count: int, seconds: float
) -> dict[str, list[float]]:
    # Read first and made sense of later, so that the clients are not what is slow. Thousands are
    # sent the same bytes: kept once, with when each had them and how many events they are.
    taken: dict[bytes, tuple[list[float], int]] = {}
    buffer = bytearray(65_536)
    view = memoryview(buffer)
    deadline = time.monotonic() + seconds
    while count > 0 and time.monotonic() < deadline:
        for number, _ in poll.poll(0.1, 1000):
            size = clients[number].recv_into(buffer)
            if not size:
                raise SystemExit("the hub ended a stream")
            at, data = time.time(), bytes(view[:size])
            if data not in taken:
                taken[data] = ([], len(EVENT.findall(data)))
            times, events = taken[data]
            times.append(at)
            count -= events
    arrived: dict[str, list[float]] = {}
    for data, (times, _) in taken.items():
        for found in EVENT.findall(data):
            arrived.setdefault(found.decode(), []).extend(times)
    return arrived


if __name__ == "__main__":
    main()
