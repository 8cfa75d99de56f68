"""The gate of the page: the one place through which every request goes before it is answered.

A page on 127.0.0.1 can be reached by every program of the machine, and by every web site that the
user has open. The token in the address keeps out those who do not know it; the names of the host
keep out sites whose name was bound to 127.0.0.1 (DNS rebinding); origin and content type keep out
forms and scripts of other sites.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any, NoReturn

from nnfs_xp._checks import quoted
from nnfs_xp.errors import ArgumentError

MOST_BYTES = 65536
"""How long a query can be."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer tells the browser, refusals included."""

_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)
_NAME = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(.+)", re.ASCII)
_ASK = re.compile(r"ask/([A-Za-z0-9_-]{8,64})", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)


class RefusalError(Exception):
    """A request is refused, with a status of HTTP and a sentence for the one who asked."""

    def __init__(self, status: int, reason: str, allow: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.allow = allow


@dataclass(frozen=True)
class Asset:
    """A request that may have a file of the page."""

    name: str


@dataclass(frozen=True)
class Question:
    """A request that may put a query: which tab asks, and how many bytes the query has."""

    tab: str
    length: int


class Gate:
    """Let requests pass, or raise `RefusalError`.

    Parameters
    ----------
    token : str
        The first part of every path.
    assets : collection of str
        The paths below the token that can be had.
    allow_hosts : iterable of str
        Names of this machine, besides those that only lead to it from itself.

    Raises
    ------
    ArgumentError
        One of `allow_hosts` is no exact name.
    """

    def __init__(
        self, token: str, assets: Collection[str], allow_hosts: Iterable[str] = ()
    ) -> None:
        self._token = token.encode()
        self._assets = frozenset(assets)
        if isinstance(allow_hosts, str):
            raise ArgumentError(
                f"`allow_hosts` must be a list of names; got the string {quoted(allow_hosts)}."
            )
        self._hosts = _LOCAL | {_host_name(each) for each in allow_hosts}

    def admit(self, method: str, target: str, headers: Message) -> Asset | Question:
        """Judge a request by its first line and its headers.

        Parameters
        ----------
        method : str
        target : str
            The path as it came, with what follows a question mark.
        headers : email.message.Message

        Returns
        -------
        Asset or Question

        Raises
        ------
        RefusalError
        """
        path = self._below_token(target)
        host = self._host(headers)
        _check_origin(headers, host)
        _check_site(headers, method, path)
        if "Transfer-Encoding" in headers or "Expect" in headers:
            raise RefusalError(400, "Send the query in one piece, with its Content-Length.")
        if path in self._assets:
            _check_method(method, "GET", "HEAD")
            return Asset(path)
        if match := _ASK.fullmatch(path):
            _check_method(method, "POST")
            return Question(match[1], _length(headers))
        if method not in ("GET", "HEAD", "POST"):
            raise RefusalError(405, "Use GET or POST.", "GET, HEAD, POST")
        raise _not_found()

    def _below_token(self, target: str) -> str:
        """What follows the token in the path."""
        path = target.partition("?")[0]  # proxies and notebooks append queries of their own
        root, _, rest = path.partition("/")
        token, slash, below = rest.partition("/")
        given = token.encode("utf-8", "replace")
        if not secrets.compare_digest(given, self._token) or root or not slash:
            raise _not_found()
        return below

    def _host(self, headers: Message) -> str:
        host = _only(headers, "Host")
        match = _HOST.fullmatch(host or "")
        if host is None or match is None or match[1] not in self._hosts:
            raise RefusalError(
                403, "This host name is not allowed. Start the page with --allow-host NAME."
            )
        return host  # with any port, for ssh -L changes it


def read_query(body: bytes) -> dict[str, Any]:
    """The query that a request carries.

    Parameters
    ----------
    body : bytes

    Returns
    -------
    dict

    Raises
    ------
    RefusalError
        It is no JSON object, is nested too deeply, or holds numbers that are not finite.

    Examples
    --------
    >>> read_query(b'{"do": "open", "id": 1}')
    {'do': 'open', 'id': 1}
    """
    try:
        query = json.loads(body.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise RefusalError(400, "The query must be JSON with finite numbers.") from None
    if not isinstance(query, dict):
        raise RefusalError(400, "The query must be a JSON object.")
    return query


def message(status: int, kind: str, content: bytes, allow: str | None = None) -> bytes:
    """An answer of HTTP, after which the connection ends.

    Parameters
    ----------
    status : int
    kind : str
        The content type.
    content : bytes
    allow : str, optional
        The methods that would have been right.

    Returns
    -------
    bytes
    """
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        "Connection": "close",
        **_HEADERS,
    }
    if allow is not None:
        headers["Allow"] = allow
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode("ascii") + content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999
        raise ValueError(text)
    return number


def _host_name(name: object) -> str:
    """Refuse what is no exact name: patterns, addresses with a scheme or a port."""
    text = name.lower() if isinstance(name, str) else ""
    if not _NAME.fullmatch(text):
        raise ArgumentError(
            "`allow_hosts` must hold exact names of hosts, such as 'box.example.org', without a "
            f"scheme or a port; got {quoted(name)}."
        )
    return text


def _check_origin(headers: Message, host: str) -> None:
    """The scheme may differ, for proxies take https off."""
    origin = _only(headers, "Origin")
    if origin is None:
        return
    match = _ORIGIN.fullmatch(origin)
    if match is None or match[1] != host:
        raise RefusalError(403, "Another site may not ask this page.")


def _check_site(headers: Message, method: str, path: str) -> None:
    """Other sites may lead to the page, by a link that is followed, but not ask or embed it.

    To a browser localhost and 127.0.0.1 are two sites: a link in a notebook is one of these.
    """
    site = _only(headers, "Sec-Fetch-Site")
    allowed = {None, "same-origin", "none"} | ({"same-site"} if method != "POST" else set())
    leads_there = (
        _only(headers, "Sec-Fetch-Mode") == "navigate"
        and _only(headers, "Sec-Fetch-Dest") == "document"
        and method == "GET"
        and path == ""
    )
    if site not in allowed and not leads_there:
        raise RefusalError(
            403, "Another site may not use this page. Copy its address into the browser."
        )


def _check_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise RefusalError(405, f"Use {allowed[0]}.", ", ".join(allowed))


def _length(headers: Message) -> int:
    """How many bytes of JSON follow."""
    kind = (_only(headers, "Content-Type") or "").partition(";")[0].strip()
    if kind != "application/json":  # forms of other sites cannot send it
        raise RefusalError(415, "The query must be application/json.")
    length = _only(headers, "Content-Length")
    if length is None:
        raise RefusalError(411, "Send the length of the query.")
    if not _LENGTH.fullmatch(length):
        raise RefusalError(400, "Content-Length must be a whole number.")
    if int(length) > MOST_BYTES:
        raise RefusalError(413, f"A query has at most {MOST_BYTES} bytes.")
    return int(length)


def _only(headers: Message, name: str) -> str | None:
    """The header in small letters, or None; proxies read two of them in different ways."""
    values = headers.get_all(name, [])
    if len(values) > 1:
        raise RefusalError(400, f"Send {name} once.")
    return str(values[0]).strip().lower() if values else None


def _not_found() -> RefusalError:
    return RefusalError(404, "Not found.")
