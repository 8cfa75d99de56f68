"""The page: a front end that a browser of this machine shows, and the server that it asks."""

from __future__ import annotations

import io
import logging
import os
import secrets
import socket
import socketserver
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any

from nnfs_xp._checks import check_count, quoted
from nnfs_xp.errors import ArgumentError
from nnfs_xp.see import front_end
from nnfs_xp.see.gate import Asset, Gate, RefusalError, message, read_query

MOST_CONNECTIONS = 16
MOST_SESSIONS = 16
READ_SECONDS = 10.0
"""How long a request may take to come in, however slowly it is sent."""
WRITE_SECONDS = 30.0
_LINGER_SECONDS = 1.0
_JSON = "application/json"
_LOST = "This tab was left for long, and Python has dropped what it showed. Load the page again."

_log = logging.getLogger("nnfs_xp")


class Page:
    """Serve the front end on 127.0.0.1 until closed; each tab of the browser has its own session.

    Parameters
    ----------
    make_session : callable
        Takes nothing, and returns an object whose `handle` turns a query, a dictionary, into an
        answer. Called once a tab; queries of one tab come one after the other, those of different
        tabs in different threads. An answer may hold NaN, which reaches the browser as null.
    title : str
        What the browser's tab is called.
    port : int
        0 for any that is free.
    allow_hosts : iterable of str
        Exact names under which proxies lead to this machine. 127.0.0.1, localhost and [::1] are
        always allowed, with any port.

    Attributes
    ----------
    url : str
        The address. Who knows it can use the page, so it holds a token that cannot be guessed.

    Raises
    ------
    ArgumentError
        The port is taken, or a name is no exact name.

    Notes
    -----
    A connection carries one request, which must come within 10 seconds. There are at most 16
    connections at a time, and 16 sessions: the one that was longest unused is dropped, and its tab
    is told so by an answer with ``"lost": true``.
    """

    def __init__(
        self,
        make_session: Callable[[], front_end.Session],
        *,
        title: str = "nnfs_xp",
        port: int = 0,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        if not isinstance(title, str):
            raise ArgumentError(f"`title` must be a string; got {quoted(title)}.")
        if check_count("port", port, least=0) > 65535:
            raise ArgumentError(f"`port` must be at most 65535; got {port}.")
        token = secrets.token_urlsafe(24)
        assets = front_end.assets(title)
        gate = Gate(token, assets, allow_hosts)
        try:
            self._server = _Server(port, gate, assets, _Sessions(make_session))
        except OSError as error:
            reason = f"cannot use `port` {port}: {error.strerror}"
            raise ArgumentError(f"{reason}. Take another, or 0 for any that is free.") from None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{token}/"
        self._closing = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="nnfs_xp page", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving, free the port, and wait for the threads; a second call does nothing."""
        if not self._closing.acquire(blocking=False):  # it is never released
            return
        self._server.shutdown()
        self._thread.join()
        self._server.close()
        self._closed.set()

    def wait(self) -> None:
        """Wait until the page is closed; Ctrl-C closes it."""
        try:
            while not self._closed.wait(0.5):  # on Windows, Ctrl-C comes between two waits
                pass
        except KeyboardInterrupt:
            self.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<Page, closed>" if self._closed.is_set() else f"<Page at {self.url}>"


class _Tab:
    """The session of a tab, made by its first query; who holds the lock may use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.session: front_end.Session | None = None


class _Sessions:
    """The sessions by their tabs, the longest unused first."""

    def __init__(self, make_session: Callable[[], front_end.Session]) -> None:
        self._make_session = make_session
        self._lock = threading.Lock()
        self._tabs: OrderedDict[str, _Tab] = OrderedDict()

    def ask(self, name: str, query: dict[str, Any]) -> dict[str, Any]:
        """The answer of the tab's session; a new session only for `open`."""
        with self._lock:
            tab = self._tabs.pop(name, None)
            if tab is None:
                if query.get("do") != "open":
                    return {"error": _LOST, "lost": True}
                tab = _Tab()
            self._tabs[name] = tab
            while len(self._tabs) > MOST_SESSIONS:
                self._tabs.popitem(last=False)
        with tab.lock:
            if tab.session is None:
                tab.session = self._make_session()
            return tab.session.handle(query)


class _Server(socketserver.TCPServer):
    """A thread a connection, up to a number of them."""

    allow_reuse_address = os.name == "posix"  # elsewhere it would let others take the port
    request_queue_size = 64

    def __init__(
        self,
        port: int,
        gate: Gate,
        assets: Mapping[str, tuple[str, bytes]],
        sessions: _Sessions,
    ) -> None:
        self.gate = gate
        self.assets = assets
        self.sessions = sessions
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="nnfs_xp page", daemon=True
        )
        with self._lock:
            is_full = len(self._connections) >= MOST_CONNECTIONS
            if not is_full:
                self._connections[thread] = request
        if is_full:
            self._turn_away(request)
            return
        try:
            thread.start()
        except RuntimeError:  # the machine has no thread left
            self._connections.pop(thread)
            self._turn_away(request)

    def _turn_away(self, request: socket.socket) -> None:
        """Say that there are too many; never wait, for others stand in line."""
        with suppress(OSError):
            request.setblocking(False)
            request.send(message(503, _JSON, b'{"error":"Too many connections at once."}'))
            request.recv(65536)  # closing with bytes unread would take the answer back
        self.shutdown_request(request)

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            _log.debug("a connection of the page broke", exc_info=True)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)
            self.shutdown_request(request)

    def handle_error(self, *_of_it: Any) -> None:
        _log.debug("a connection of the page was not taken", exc_info=True)

    def close(self) -> None:
        """Free the port, and end the connections."""
        self.server_close()
        with self._lock:
            connections = dict(self._connections)
        end = monotonic() + 5.0  # a session may be in the middle of long work
        for thread, connection in connections.items():
            with suppress(OSError):  # it has ended
                connection.shutdown(socket.SHUT_RDWR)
            if thread is not threading.current_thread():
                thread.join(max(end - monotonic(), 0.0))


class _Timed(io.RawIOBase):
    """A connection to be read until a moment, however slowly the other side sends."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._end = monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """One request of one connection."""

    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Timed(self.connection, READ_SECONDS))

    def handle(self) -> None:
        """Answer the one request; a browser that is gone, or too slow, gets no answer."""
        self.command = ""
        with suppress(OSError):
            self.raw_requestline = self.rfile.readline(65537)
            if len(self.raw_requestline) > 65536:
                self.send_error(414)
            elif self.raw_requestline and self.parse_request():
                self._reply()

    def _reply(self) -> None:
        try:
            admitted = self.server.gate.admit(self.command, self.path, self.headers)
            if isinstance(admitted, Asset):
                self._send(200, *self.server.assets[admitted.name])
                return
            body = self.rfile.read(admitted.length)
            if len(body) < admitted.length:
                raise RefusalError(400, "The query is not complete.")
            status, text = self._answer(admitted.tab, read_query(body))
            self._send(status, _JSON, text.encode())
        except RefusalError as refusal:
            self._refuse(refusal)

    def _answer(self, tab: str, query: dict[str, Any]) -> tuple[int, str]:
        same = {"id": query["id"]} if "id" in query else {}
        try:
            return 200, front_end.as_json({**self.server.sessions.ask(tab, query), **same})
        except Exception:
            _log.debug("a session failed at %s", quoted(query.get("do")), exc_info=True)
            return 500, front_end.as_json({"error": front_end.FAILED, **same})

    def _refuse(self, refusal: RefusalError) -> None:
        """Say why, then let the other side finish: closing earlier would take the answer back."""
        _log.debug("the page refused a request: %d, %s", refusal.status, refusal.reason)
        content = front_end.as_json({"error": refusal.reason}).encode()
        self._send(refusal.status, _JSON, content, refusal.allow)
        self.connection.shutdown(socket.SHUT_WR)
        rest = _Timed(self.connection, _LINGER_SECONDS)
        while rest.readinto(bytearray(65536)):
            pass

    def _send(self, status: int, kind: str, content: bytes, allow: str | None = None) -> None:
        self.connection.settimeout(WRITE_SECONDS)
        whole = message(status, kind, content, allow)
        self.wfile.write(whole[: -len(content)] if self.command == "HEAD" else whole)

    def send_error(self, code: int, *_texts: str | None, **_more: str | None) -> None:
        self._refuse(RefusalError(code, "This is no request that the page understands."))

    def handle_expect_100(self) -> bool:
        return True  # for the gate to refuse

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class' name
        pass  # it would print addresses, token included
