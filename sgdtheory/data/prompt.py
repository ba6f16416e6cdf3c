"""Downloads that fail in seconds where nobody answers: urllib alone waits for name servers and dead
lines at its leisure."""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from urllib.error import URLError

ANSWER = 3.0  # seconds in which a server must be found
SILENCE = 30.0  # seconds in which a connection must say something
PORTS = {"http": 80, "https": 443}


class _Reachable(urllib.request.BaseHandler):
    """Asks whether a server, or the proxy before it, takes a connection, once each; what it says is
    urllib's business."""

    handler_order = 300  # after proxies have been put in (100), before a connection is opened (500)

    def __init__(self) -> None:
        self.known: dict[str, bool] = {}

    def http_open(self, request: urllib.request.Request) -> None:
        host = request.host
        if host not in self.known:
            port = PORTS.get(request.type, 443)
            self.known[host] = _answers(host, port)
        if not self.known[host]:
            raise URLError("its server cannot be reached")
        request.timeout = SILENCE

    https_open = http_open


@contextmanager
def prompt_requests() -> Iterator[None]:
    """While the block runs, urllib.request gives up on servers that cannot be reached: URLError
    after three seconds."""
    before = vars(urllib.request)["_opener"]  # the library has no public name for it
    urllib.request.install_opener(urllib.request.build_opener(_Reachable()))
    try:
        yield
    finally:
        urllib.request.install_opener(before)


def _answers(host: str, port: int) -> bool:
    """Whether a connection can be made; in a thread, because nothing else ends a name server's
    silence."""
    name, colon, given = host.rpartition(":")
    where = (host, port)
    if colon and given.isdigit():
        where = (name.strip("[]"), int(given))
    found: list[bool] = []

    def ask() -> None:
        try:
            socket.create_connection(where, ANSWER).close()
        except OSError:
            return
        found.append(True)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER)
    return bool(found)
