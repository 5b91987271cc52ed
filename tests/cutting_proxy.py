"""A TCP proxy that cuts connections: what a bad network or a dying server does to an upload or a download."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CutProxy(socketserver.ThreadingTCPServer):
    """Passes bytes on to a port; resets each of the next `cuts` connections after so many bytes in one direction."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target_port = target_port
        self.port = self.server_address[1]
        self.cuts, self.after_bytes, self.down = 0, 0, False
        self.connections = 0

    def cut(self, times: int, after_bytes: int, down: bool) -> None:
        """Cut the next connections that carry more than that; `down` counts what the server sends, not what it gets."""
        self.cuts, self.after_bytes, self.down = times, after_bytes, down


class _Passing(socketserver.BaseRequestHandler):
    server: CutProxy

    def handle(self) -> None:
        self.server.connections += 1
        with socket.create_connection(("127.0.0.1", self.server.target_port)) as upstream:
            up = threading.Thread(target=self._pass, args=(self.request, upstream, False), daemon=True)
            up.start()
            self._pass(upstream, self.request, True)
            up.join(timeout=10)

    def _pass(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if self.server.cuts and self.server.down == down and passed > self.server.after_bytes:
                    self.server.cuts -= 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_proxy(target_port: int) -> Iterator[CutProxy]:
    """A proxy in a thread, ended afterwards."""
    with CutProxy(target_port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join(timeout=10)
