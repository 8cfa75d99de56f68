"""The other tests would notice: a page that does what it should not is found out."""

from __future__ import annotations

import pytest

from tests.browser.conftest import leaves, opened


@pytest.mark.parametrize(
    ("script", "noticed"),
    [
        ("new Image().src = 'https://example.org/pixel.png'", "https://example.org/pixel.png"),
        ("new WebSocket('wss://example.org/socket')", "wss://example.org/socket"),
        ("console.info('a word')", "info: a word"),
        ("undefined.of()", "Cannot read properties of undefined"),
        ("alert('a dialog')", "a dialog"),
    ],
)
def test_what_a_page_should_not_do_is_noticed(browser, tmp_path, script, noticed):
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><title>A page</title><script>{script}</script>")
    with pytest.raises(AssertionError, match=noticed), opened(browser) as visit:
        visit(path.as_uri()).wait_for_timeout(1000)  # on a busy machine, too


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("http://127.0.0.1:8888/lab", False),
        ("ws://localhost:8888/api", False),
        ("data:,", False),
        ("blob:http://127.0.0.1:8888/1", False),
        ("file:///tmp/page.html", False),
        ("http://127.0.0.1.example.org/", True),
        ("//example.org/", True),
        ("https://example.org/127.0.0.1", True),
        ("wss://example.org", True),
    ],
)
def test_which_requests_leave_the_machine(address, outside):
    assert leaves(address) is outside
