"""Debian's Chromium, pages in it that tell of all that goes wrong, and servers for notebooks."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

import nnfs_xp as nn

FLAGS = (
    "--no-sandbox",  # CI is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WITHIN = {"data", "blob", "file", "about"}
"""Schemes of addresses that no request over a network has."""

HERE = {"127.0.0.1", "localhost"}
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def browser():
    path = shutil.which("chromium")
    if path is None:
        needed = "apt-get install --no-install-recommends chromium fonts-dejavu-core"
        pytest.fail(f"These tests need Debian's Chromium; as root: {needed}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def leaves(address):
    """Whether a request for the address leaves this machine."""
    parts = urlsplit(address)
    return parts.scheme not in WITHIN and parts.hostname not in HERE


class Guard:
    """Keeps what pages do that they should not; requests that would leave the machine fail."""

    def __init__(self):
        self.outside = []
        self.said = []
        self.broken = []

    def watch(self, context):
        context.on("request", lambda request: self._see_request(request.url))
        context.on("page", lambda page: page.on("websocket", self._see_socket))
        context.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self.broken.append(str(error.error)))
        context.on("dialog", self._see_dialog)
        context.route(leaves, lambda route: route.abort())

    def _see_request(self, address):
        if leaves(address):
            self.outside.append(address)

    def _see_socket(self, socket):
        self._see_request(socket.url)

    def _see_dialog(self, dialog):
        self.broken.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def hosts():
    """What is closed after the browser has left: else its last queries would be refused."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def visit(browser, hosts):  # noqa: ARG001 # they are there before
    """Open an address in a browser of its own; what it should not do is found at the end."""
    with opened(browser) as go:
        yield go


@contextlib.contextmanager
def opened(browser):
    """See the fixture `visit`."""
    guard = Guard()
    with contextlib.ExitStack() as stack:

        def go(address, **options):
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            stack.callback(context.close)
            context.set_default_timeout(20_000)
            guard.watch(context)
            page = context.new_page()
            page.goto(address)
            return page

        yield go
    assert (guard.outside, guard.said, guard.broken) == ([], [], [])


@pytest.fixture
def visit_others(browser):
    """Open an address of others, whose console is theirs; the page and the guard that saw it."""
    with contextlib.ExitStack() as stack:

        def go(address):
            context = browser.new_context(viewport={"width": 1280, "height": 1000})
            stack.callback(context.close)
            context.set_default_timeout(60_000)
            guard = Guard()
            guard.watch(context)
            page = context.new_page()
            page.goto(address)
            return page, guard

        yield go


@pytest.fixture
def play(hosts):
    """Make a page to play with; the arguments are those of `nnfs_xp.see.play`."""
    return lambda *args, **options: hosts.enter_context(nn.see.play(*args, **options))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with two watched trainings, one of which has markup for a name."""
    folder = tmp_path_factory.mktemp("runs")
    X = np.random.default_rng(0).normal(size=(80, 16)).astype(np.float32)
    y = np.random.default_rng(1).integers(3, size=80)  # not to be learnt whole
    for name, rate in ((MARKUP, 0.02), ("fast", 0.05)):
        model = nn.Sequential(nn.Dense(16, 12), nn.ReLU(), nn.Dense(12, 3), seed=0)
        loss, optimizer = nn.SoftmaxCategoricalCrossentropy(), nn.Adam(rate)
        trainer = nn.Trainer(model, loss, optimizer, backend="numpy")
        watch = nn.Watch(folder / name, share=1.0, classes=[f"<b>{n}" for n in range(3)])
        trainer.fit(X, y, epochs=40, batch_size=16, callbacks=[watch], progress=False)
    return folder


@pytest.fixture
def watching(runs, hosts):
    return hosts.enter_context(nn.see.watch(runs))


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """The address of a recording of ten steps."""
    path = tmp_path_factory.mktemp("recording") / "circles.html"
    return nn.see.record(path, data="circles", steps=10, title=f"Circles {MARKUP}").as_uri()


@pytest.fixture
def serve(tmp_path):
    """Run a server until the test ends; the arguments hold {port} and {token} where they go."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, ready: stack.enter_context(_served(tmp_path, arguments, ready))


@contextlib.contextmanager
def _served(folder: Path, arguments, ready):
    """The address of a server and its token, once the server answers below the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    address = f"http://127.0.0.1:{port}"
    programs = Path(sys.executable).parent
    name, *rest = (each.format(port=port, token=token) for each in arguments)
    own = {name: str(folder / name) for name in ("HOME", "JUPYTER_CONFIG_DIR", "XDG_CONFIG_HOME")}
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [programs / name, *rest],
            cwd=folder,
            env={**os.environ, **own, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            end = time.monotonic() + 90
            while not _answers(f"{address}{ready}"):
                over = server.poll() is not None or time.monotonic() > end
                assert not over, f"the server did not come: {log.read_text()}"
                time.sleep(0.2)
            yield address, token
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(address):
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 # of this machine
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False
