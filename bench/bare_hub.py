"""What `bench/hub.py` compares with: the same bytes to as many clients, written and nothing else.

`python -m bench.bare_hub <port>`: each line on its input is an event, which goes to every client
that has come, and is answered by the processor's seconds that it took.
"""

import select
import socket
import sys
import time


def main() -> None:
    door = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    clients: list[socket.socket] = []
    number = 0
    print("listening", flush=True)
    while True:
        ready, _, _ = select.select([door, sys.stdin], [], [])
        if door in ready:
            client, _ = door.accept()
            client.recv(65_536)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\nretry: 1\n\n")
            clients.append(client)
        elif line := sys.stdin.readline():
            number += 1
            text = f"id: {number}\nevent: new_request\ndata: {line.strip()}\n\n".encode()
            began = time.process_time()
            for client in clients:
                client.send(text)
            print(time.process_time() - began, flush=True)
        else:
            return


if __name__ == "__main__":
    main()
