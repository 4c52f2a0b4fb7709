"""A TCP way to a port of this machine, for what a network does: fail, stall, come back."""

import socket
import threading
from contextlib import suppress

from stack.network import free_ports

BLOCK = 65536


class Proxy:
    """127.0.0.1:`port` leads to 127.0.0.1:`target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._sockets: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        (self.port,) = free_ports(0)
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """End every connection."""
        for each in list(self._sockets):
            end(each)

    def close(self) -> None:
        """End every connection and take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def stall(self) -> None:
        """Nothing passes; nobody is told."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                # A connection that waits for the network must not keep the next from waiting too.
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        self._flowing.wait()
        address = ("127.0.0.1", self._target)
        # Refused: nobody listens there now.
        with client, suppress(OSError), socket.create_connection(address) as server:
            pair = {client, server}
            self._sockets |= pair
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self._copy(client, server)
            back.join()
            self._sockets -= pair

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK):
                self._flowing.wait()
                target.sendall(data)
        end(source)
        end(target)


def end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
