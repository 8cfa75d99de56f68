"""The page's gate, its server over real sockets, and the front end's text."""

import contextlib
import http.client
import json
import logging
import socket
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from nnfs_xp.errors import ArgumentError, BackendError
from nnfs_xp.see import front_end
from nnfs_xp.see import page as page_module
from nnfs_xp.see import widget as widget_module
from nnfs_xp.see.page import Page

TAB = "0123456789abcdef"
OTHER_TAB = "fedcba9876543210"
PARTS = dict.fromkeys(front_end.SCRIPTS + front_end.STYLES, "\n") | {
    "uplot.js": "class uPlot {}\n// export { this }\nexport { uPlot as default };\n",
    "watch.js": "const watchView = () => {};",
    "play.js": "const playView = () => {};",
    "see.js": "export default { render({ model, el }) {} };",
    "uplot.css": ".uplot {}",
    "picture.css": ".see-picture {}",
    "see.css": ".see {}",
    "watch.css": ".see-watch {}",
}


class Counter:
    """A session that counts its own queries."""

    def __init__(self):
        self.n_queries = 0
        self.release = threading.Event()

    def handle(self, query):
        self.n_queries += 1
        if query["do"] == "raise":
            raise ZeroDivisionError("a secret of the session")
        if query["do"] == "wait":
            assert self.release.wait(10)
        if query["do"] == "odd":
            return {"loss": float("nan"), "most": np.float32("inf"), "w": np.ones(2, np.float32)}
        if query["do"] == "wrong":
            return {"object": object()}
        return {"n_queries": self.n_queries}


@pytest.fixture(autouse=True, scope="module")
def stand_ins():
    """Small parts of the front end, so that the tests do not depend on what it shows."""
    read = front_end._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front_end, "_read", lambda name: PARTS.get(name) or read(name))
        forget()
        yield
    forget()


def forget():
    front_end.module.cache_clear()
    front_end.styles.cache_clear()


@pytest.fixture
def made():
    """The sessions, in the order in which they were made."""
    return []


@pytest.fixture
def page(made):
    def make_session():
        made.append(Counter())
        return made[-1]

    with Page(make_session) as page:
        yield page
        for session in made:
            session.release.set()


@pytest.fixture(scope="module")
def door():
    """A page whose sessions do not matter, for to close one takes a tenth of a second."""
    with Page(Counter, title="<b> & co", allow_hosts=["Box.example.org"]) as page:
        yield page


def place_of(page):
    """The port and the token."""
    port, token = page.url.removeprefix("http://127.0.0.1:").rstrip("/").split("/")
    return int(port), token


def call(page, method="GET", below="", body=None, *, path=None, **headers):
    """The response and its body; an argument `Sec_Fetch_Site` is that header."""
    port, token = place_of(page)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(connection):
        connection.request(method, f"/{token}/{below}" if path is None else path, body, headers)
        response = connection.getresponse()
        return response, response.read()


def ask(page, query, tab=TAB, **headers):
    """The status and the answer to a query."""
    body = query if isinstance(query, bytes) else json.dumps(query)
    headers = {"Content_Type": "application/json"} | headers
    response, content = call(page, "POST", f"ask/{tab}", body, **headers)
    return response.status, json.loads(content)


def send(page, text, seconds=5):
    """All that comes back for raw bytes."""
    with socket.create_connection(("127.0.0.1", place_of(page)[0]), timeout=seconds) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def raw(page, *lines, method="GET", below=""):
    """The status that a request of these header lines gets."""
    first = f"{method} /{place_of(page)[1]}/{below} HTTP/1.1"
    answer = send(page, "\r\n".join([first, *lines, "", ""]).encode())
    return int(answer.split()[1])


# Assets


@pytest.mark.parametrize(
    ("below", "kind", "part"),
    [
        ("", "text/html; charset=utf-8", "<title>&lt;b&gt; &amp; co</title>"),
        ("?from=a-proxy/../x", "text/html; charset=utf-8", '<main id="see">'),
        ("page.js", "text/javascript; charset=utf-8", 'import widget from "./see.js"'),
        ("see.js", "text/javascript; charset=utf-8", "export default"),
        ("see.css", "text/css; charset=utf-8", ".see-watch {}"),
    ],
)
def test_assets(door, below, kind, part):
    response, content = call(door, below=below)
    assert (response.status, response.headers["Content-Type"]) == (200, kind)
    assert part in content.decode()
    head, nothing = call(door, "HEAD", below)
    assert (head.status, nothing) == (200, b"")
    assert head.headers["Content-Length"] == str(len(content))
    text = f"HEAD /{place_of(door)[1]}/{below} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert send(door, text.encode()).endswith(b"\r\n\r\n")


def test_page_has_no_inline_code_and_only_relative_addresses(door):
    text = call(door)[1].decode()
    assert "<style" not in text
    assert "style=" not in text
    assert text.count("<script") == text.count('<script type="module" src="page.js"></script>') == 1
    assert "http" not in text
    assert 'href="/' not in text
    assert '<link rel="icon" href="data:,">' in text


@pytest.mark.parametrize("below", ["", "see.js", "ask/none", "nothing"])
def test_headers_of_every_answer(door, below):
    headers = call(door, below=below)[0].headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] is None
    assert not [name for name in headers if name.lower().startswith("access-control")]


# The gate


def test_without_the_token_there_is_nothing(door):
    token = place_of(door)[1]
    wrong = [
        "/",
        "",
        "//",
        "/favicon.ico",
        "/see.js",
        f"/{token}",
        f"/{token[:-1]}/",
        f"/{token}x/",
    ]
    wrong += [
        f"x/{token}/",
        f"/x/{token}/",
        f"//x/{token}/",
        f"/?/{token}/",
        f"http://127.0.0.1/{token}/",
        "/é/",
    ]
    for path in wrong:
        text = f"GET {path or '*'} HTTP/1.1\r\nHost: elsewhere\r\n\r\n".encode()
        head, _, body = send(door, text).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 "), path
        assert body == b'{"error":"Not found."}'
    for method in ("POST", "DELETE", "OPTIONS"):
        assert call(door, method, path="/x/ask/" + TAB)[0].status == 404


def test_tokens_differ_and_are_long(door):
    with Page(Counter) as other:
        assert place_of(door)[1] != place_of(other)[1]
        assert len(place_of(other)[1]) >= 32


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("localhost", 200),
        ("LOCALHOST:8888", 200),
        ("[::1]", 200),
        ("[::1]:65535", 200),
        ("box.example.org", 200),
        ("BOX.example.org:443", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("evil.box.example.org", 403),
        ("user@127.0.0.1", 403),
        ("127.0.0.1:80:90", 403),
        ("127.0.0.1:", 403),
        ("127.0.0.1:port", 403),
        ("127.0.0.2", 403),
        ("::1", 403),
        ("localhost.", 403),
        ("0", 403),
        ("", 403),
    ],
)
def test_host(door, host, status):
    assert call(door, Host=host)[0].status == status


def test_host_once(door):
    assert raw(door) == 403
    assert raw(door, "Host: localhost", "Host: localhost") == 400


@pytest.mark.parametrize("name", ["*", "*.example.org", "", "box:80", "http://box", "a/b", "-", 3])
def test_allowed_hosts_are_exact_names(name):
    with pytest.raises(ArgumentError, match="exact names"):
        Page(Counter, allow_hosts=[name])


def test_allowed_hosts_are_a_list():
    with pytest.raises(ArgumentError, match="must be a list of names"):
        Page(Counter, allow_hosts="box.example.org")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8000", 200),
        ("https://localhost:8000", 200),
        ("HTTPS://LocalHost:8000", 200),
        ("http://localhost", 403),
        ("http://localhost:8001", 403),
        ("http://127.0.0.1:8000", 403),
        ("https://evil.example", 403),
        ("https://localhost:8000.evil.example", 403),
        ("localhost:8000", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origin(door, origin, status):
    assert ask(door, {"do": "open"}, Host="localhost:8000", Origin=origin)[0] == status
    assert call(door, Host="localhost:8000", Origin=origin)[0].status == status


@pytest.mark.parametrize(
    ("site", "get", "post"),
    [
        ("same-origin", 200, 200),
        ("none", 200, 200),
        ("same-site", 200, 403),
        ("cross-site", 403, 403),
        ("unheard-of", 403, 403),
    ],
)
def test_sec_fetch_site(door, site, get, post):
    assert call(door, Sec_Fetch_Site=site)[0].status == get
    assert ask(door, {"do": "open"}, Sec_Fetch_Site=site)[0] == post


def test_nothing_tells_the_token(door, capfd):
    """Also where the standard library itself would write a request down."""
    call(door)
    handler = door._server.RequestHandlerClass
    handler.log_message(SimpleNamespace(), "%s", "a path with the token")
    assert capfd.readouterr() == ("", "")


def test_a_link_on_another_site_leads_to_the_page_and_to_nothing_else(door):
    """A notebook at localhost is another site than a page at 127.0.0.1."""
    follows = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert call(door, **follows, Sec_Fetch_Dest="document")[0].status == 200
    assert call(door, **follows, Sec_Fetch_Dest="iframe")[0].status == 403
    assert call(door, "GET", "see.js", **follows, Sec_Fetch_Dest="document")[0].status == 403
    assert ask(door, {"do": "open"}, **follows, Sec_Fetch_Dest="document")[0] == 403


@pytest.mark.parametrize(
    ("method", "below", "status", "allow"),
    [
        ("POST", "", 405, "GET, HEAD"),
        ("POST", "see.js", 405, "GET, HEAD"),
        ("GET", f"ask/{TAB}", 405, "POST"),
        ("HEAD", f"ask/{TAB}", 405, "POST"),
        ("PUT", f"ask/{TAB}", 405, "POST"),
        ("OPTIONS", f"ask/{TAB}", 405, "POST"),
        ("DELETE", "nothing", 405, "GET, HEAD, POST"),
        ("GET", "nothing", 404, None),
        ("GET", "page.html", 404, None),
        ("GET", "see.css/", 404, None),
        ("GET", "../see.js", 404, None),
        ("GET", "%2e%2e/see.js", 404, None),
        ("GET", "uplot.js", 404, None),
        ("POST", "ask/short", 404, None),
        ("POST", "ask/" + "x" * 65, 404, None),
        ("POST", "ask/tab%20name0", 404, None),
        ("POST", f"ask/{TAB}/more", 404, None),
        ("POST", "tell/" + TAB, 404, None),
    ],
)
def test_methods_and_paths(door, method, below, status, allow):
    response, _ = call(door, method, below, "{}", Content_Type="application/json")
    assert (response.status, response.headers["Allow"]) == (status, allow)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
def test_content_type(door, kind, status):
    assert ask(door, {"do": "open"}, Content_Type=kind)[0] == status


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 411),
        (["Content-Length: -1"], 400),
        (["Content-Length: +2"], 400),
        (["Content-Length: 0x2"], 400),
        (["Content-Length: 2, 2"], 400),
        (["Content-Length: 2", "Content-Length: 2"], 400),
        (["Content-Length: 65537"], 413),
        (["Content-Length: 999999999999"], 413),
        (["Content-Length: 2", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked"], 400),
        (["Content-Length: 2", "Expect: 100-continue"], 400),
    ],
)
def test_length(door, lines, status):
    """The refusal comes although no byte of the body does."""
    lines = ["Host: localhost", "Content-Type: application/json", *lines]
    assert raw(door, *lines, method="POST", below=f"ask/{TAB}") == status


def test_a_long_query_is_refused_and_its_sender_told(door):
    longest = json.dumps({"do": "open", "fill": ""})
    longest = longest.replace('""', '"' + "x" * (65536 - len(longest)) + '"').encode()
    assert len(longest) == 65536
    assert ask(door, longest)[0] == 200
    assert ask(door, longest + b" ")[0] == 413
    assert ask(door, longest * 4)[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'"open"',
        b"null",
        b'{"do": NaN}',
        b'{"do": Infinity}',
        b'{"do": -Infinity}',
        b'{"do": 1e999}',
        b'{"do": "\xff"}',
        b'{"do": ' + b"9" * 5000 + b"}",
        b"[" * 65536,
        b'{"a":' * 13000,
    ],
)
def test_bad_queries(door, body):
    status, answer = ask(door, body)
    assert status == 400
    assert answer["error"].startswith("The query must be")


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1 more\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_no_request(door, capfd, text):
    head = send(door, text).partition(b"\r\n\r\n")[0]
    assert not head or b"nosniff" in head
    assert b"Python/" not in head
    assert call(door)[0].status == 200
    assert capfd.readouterr() == ("", "")


# Sessions


def test_two_tabs_have_two_sessions(page, made):
    assert ask(page, {"do": "open", "id": 1}) == (200, {"n_queries": 1, "id": 1})
    assert ask(page, {"do": "step", "id": 2}) == (200, {"n_queries": 2, "id": 2})
    assert ask(page, {"do": "open", "id": 1}, OTHER_TAB) == (200, {"n_queries": 1, "id": 1})
    assert ask(page, {"do": "step", "id": "three"}) == (200, {"n_queries": 3, "id": "three"})
    assert len(made) == 2


def test_a_dropped_tab_is_told(page, made, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_SESSIONS", 2)
    tabs = [f"tab-number-{i}" for i in range(3)]
    for tab in tabs[:2]:
        ask(page, {"do": "open"}, tab)
    ask(page, {"do": "step"}, tabs[0])  # so tabs[1] is the one longest unused
    ask(page, {"do": "open"}, tabs[2])
    status, answer = ask(page, {"do": "step", "id": 7}, tabs[1])
    assert (status, answer["lost"], answer["id"]) == (200, True, 7)
    assert "Load the page again" in answer["error"]
    assert ask(page, {"do": "step"}, tabs[0]) == (200, {"n_queries": 3})
    assert ask(page, {"do": "open"}, tabs[1]) == (200, {"n_queries": 1})
    assert len(made) == 4


def test_queries_of_one_tab_wait_for_each_other_and_not_for_other_tabs(page, made):
    ask(page, {"do": "open"})
    answers = []
    threads = [
        threading.Thread(target=lambda do=do: answers.append(ask(page, {"do": do})[1]))
        for do in ("wait", "step")
    ]
    for thread, n_started in zip(threads, (2, 2), strict=True):
        thread.start()
        until(lambda n=n_started: made[0].n_queries == n)
    until(lambda: len(page._server._connections) == 2)
    assert ask(page, {"do": "open"}, OTHER_TAB) == (200, {"n_queries": 1})
    time.sleep(0.1)  # in which the second query would be answered
    assert made[0].n_queries == 2
    assert not answers
    made[0].release.set()
    for thread in threads:
        thread.join(5)
    assert sorted(answer["n_queries"] for answer in answers) == [2, 3]


def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_answers_without_what_json_lacks(page):
    ask(page, {"do": "open"})
    assert ask(page, {"do": "odd"}) == (200, {"loss": None, "most": None, "w": [1.0, 1.0]})


@pytest.mark.parametrize("do", ["raise", "wrong"])
def test_a_session_that_fails(page, capfd, caplog, do):
    ask(page, {"do": "open"})
    with caplog.at_level(logging.DEBUG, "nnfs_xp"):
        status, answer = ask(page, {"do": do, "id": 5})
    assert (status, answer["id"]) == (500, 5)
    assert "secret" not in answer["error"]
    assert "Traceback" not in answer["error"]
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert capfd.readouterr() == ("", "")
    assert ask(page, {"do": "step"})[0] == 200


def test_a_session_that_cannot_be_made(capfd):
    def make_session():
        raise OSError("no such run")

    with Page(make_session) as page:
        assert ask(page, {"do": "open"})[0] == 500
    assert capfd.readouterr() == ("", "")


# The server


def test_a_slow_sender_blocks_nobody_and_is_cut(page, monkeypatch):
    monkeypatch.setattr(page_module, "READ_SECONDS", 0.4)
    with socket.create_connection(("127.0.0.1", place_of(page)[0]), timeout=5) as slow:
        start = time.monotonic()
        slow.sendall(b"GET /")
        assert call(page)[0].status == 200
        with contextlib.suppress(OSError):  # cut, while it sends or while it reads
            while time.monotonic() < start + 4:  # never idle for long
                slow.sendall(b"x")
                slow.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(1):
                        break
        assert time.monotonic() < start + 3


def test_a_silent_connection_is_cut(page, monkeypatch):
    monkeypatch.setattr(page_module, "READ_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", place_of(page)[0]), timeout=3) as silent:
        assert silent.recv(1) == b""


def test_a_query_that_is_cut_short_is_none(page, made):
    with start_query(page, 50) as connection:
        connection.sendall(b'{"do": "open"}')
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'{"error":"The query is not complete."}')
    assert not made


def test_who_still_sends_can_read_the_refusal(page):
    with start_query(page, 400_000) as connection:
        for _ in range(4):
            time.sleep(0.02)
            connection.sendall(b" " * 100_000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def start_query(page, length):
    """A connection on which the head of a query was sent."""
    port, token = place_of(page)
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    head = f"POST /{token}/ask/{TAB} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def test_too_many_connections_are_turned_away(page, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_CONNECTIONS", 3)
    port, _ = place_of(page)
    connect = lambda: socket.create_connection(("127.0.0.1", port), timeout=5)  # noqa: E731
    with connect(), connect(), connect():
        until(lambda: len(page._server._connections) == 3)
        assert b"503 Service Unavailable" in send(page, b"")
        assert len(page._server._connections) == 3
    until(lambda: not page._server._connections)
    assert call(page)[0].status == 200


def test_a_browser_that_goes_away(page, capfd):
    with start_query(page, 50) as connection:
        connection.sendall(b'{"do":')
    until(lambda: not page._server._connections)
    assert call(page)[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_close_frees_the_port_and_ends_connections():
    threads = threading.active_count()
    page = Page(Counter)
    port, _ = place_of(page)
    assert repr(page) == f"<Page at {page.url}>"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as idle:
        until(lambda: page._server._connections)
        start = time.monotonic()
        page.close()
        assert time.monotonic() < start + 3
        assert idle.recv(1) == b""
    page.close()
    assert repr(page) == "<Page, closed>"
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with Page(Counter, port=port) as again:
        assert place_of(again)[0] == port
        with pytest.raises(ArgumentError, match=f"cannot use `port` {port}: .*, or 0 for"):
            Page(Counter, port=port)


def test_the_session_may_close_the_page():
    class Closing:
        def handle(self, query):
            page.close()
            return {}

    with Page(Closing) as page, contextlib.suppress(OSError, http.client.HTTPException):
        ask(page, {"do": "open"})
    page.wait()


def test_wait_ends_with_the_page(monkeypatch):
    page = Page(Counter)
    timer = threading.Timer(0.05, page.close)
    timer.start()
    page.wait()
    timer.join()
    page = Page(Counter)

    def interrupt(*_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(page._closed, "wait", interrupt)
    page.wait()
    assert repr(page) == "<Page, closed>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": -1}, "`port` must be a whole number of at least 0; got -1"),
        ({"port": 65536}, "`port` must be at most 65535; got 65536"),
        ({"port": "80"}, "`port` must be a whole number"),
        ({"title": None}, "`title` must be a string; got None"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Page(Counter, **arguments)


# The front end


def test_the_module_is_one_module():
    module = front_end.module()
    assert module.startswith("const uPlot = (() => {\nclass uPlot {}\n// export { this }\n")
    assert "\nreturn uPlot;\n})();\n" in module
    assert "uPlot as default" not in module
    assert module.endswith(PARTS["see.js"])
    assert front_end.module() is module


def test_a_uplot_that_ends_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(front_end, "_read", lambda name: "export default uPlot;")
    with pytest.raises(AssertionError, match="one export"):
        front_end.module.__wrapped__()


# The widget


class FakeWidget:
    """Of anywidget's widget, what is used."""

    def __init__(self):
        self.sent = []

    def on_msg(self, callback):
        self.receive = lambda query: callback(self, query, [])

    def send(self, answer):
        self.sent.append(answer)


def test_a_widget_answers(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "anywidget", SimpleNamespace(AnyWidget=FakeWidget))
    see = widget_module.widget(Counter())
    assert (see._esm, see._css) == (front_end.module(), front_end.styles())
    for query in ({"do": "odd", "id": 4}, "nonsense", {"do": "raise", "id": 5}, {"do": "step"}):
        see.receive(query)
    assert see.sent == [
        {"loss": None, "most": None, "w": [1.0, 1.0], "id": 4},
        {"error": front_end.FAILED, "id": 5},
        {"n_queries": 3},
    ]
    assert capfd.readouterr() == ("", "")


def test_widgets_need_anywidget(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(BackendError, match=r"pip install 'nnfs-xp\[notebook\]'"):
        widget_module.widget(Counter())


@pytest.mark.parametrize(
    ("name", "module", "expected"),
    [
        ("IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)), True),
        ("IPython", SimpleNamespace(get_ipython=SimpleNamespace), False),
        ("IPython", SimpleNamespace(get_ipython=lambda: None), False),
        ("marimo", SimpleNamespace(running_in_notebook=lambda: True), True),
        ("marimo", SimpleNamespace(running_in_notebook=lambda: False), False),
    ],
)
def test_in_notebook(monkeypatch, name, module, expected):
    for each in ("IPython", "marimo"):
        monkeypatch.delitem(sys.modules, each, raising=False)
    assert not widget_module.in_notebook()
    monkeypatch.setitem(sys.modules, name, module)
    assert widget_module.in_notebook() is expected
