"""The same numbers in a page, a recording, JupyterLab and marimo; tabs that keep apart."""

from __future__ import annotations

import json

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MARKUP

STEPS = 10
SHOWN = """
(root) => ({
  status: root.querySelector(".see-status").textContent,
  numbers: [...root.querySelectorAll(".see-picture text[data-key]")].map((text) =>
    [text.dataset.key, text.textContent]),
})
"""
"""The status, and each number of the picture by its key."""

KERNEL_WAITS = """
() => {
  const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}
"""


def shown(page):
    page.locator(".see-status").wait_for()
    return page.locator(".see").evaluate(SHOWN)


def step(page, name="Update", start=0, n=STEPS):
    """Take steps one by one; what is shown then."""
    for number in range(start + 1, start + n + 1):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator(".see-status")).to_contain_text(f"Step {number},")
    return shown(page)


@pytest.fixture
def expected(visit, play):
    """What the page shows after ten steps, none of which changes nothing."""
    page = visit(play(data="circles").url)
    before = shown(page)
    after = step(page)
    assert len(after["numbers"]) > 60
    keys = [[key for key, _ in each["numbers"]] for each in (before, after)]
    assert keys[0] == keys[1]
    pairs = zip(before["numbers"], after["numbers"], strict=True)
    changed = {old[0] for old, new in pairs if old != new}
    assert {key.partition("[")[0] for key in changed} > {"0.weights", "0.dweights", "2.output"}
    return after


def test_a_recording(visit, recording, expected):
    page = visit(recording, reduced_motion="reduce")
    assert step(page, "Next step") == expected


def test_jupyterlab(visit_others, serve, tmp_path, expected):
    cell = nbformat.v4.new_code_cell('import nnfs_xp as nn\nnn.see.play(data="circles")')
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=kernel)
    nbformat.write(notebook, tmp_path / "play.ipynb")
    # It would ask whether to fetch news.
    settings = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    config = tmp_path / "JUPYTER_CONFIG_DIR/labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps(settings))
    address, token = serve(
        *("jupyter-lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *("--ServerApp.port={port}", "--IdentityProvider.token={token}"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
        *("--LabApp.news_url=None", "--ServerApp.root_dir=."),
        ready="/api",
    )
    page, guard = visit_others(f"{address}/lab/tree/play.ipynb?token={token}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.wait_for_function(KERNEL_WAITS)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".see-status").wait_for()
    assert step(page) == expected
    assert (guard.outside, guard.broken) == ([], [])
    assert [text for text in guard.said if text.startswith("error")] == []


def test_marimo(visit_others, serve, tmp_path, monkeypatch, expected):
    (tmp_path / "app.py").write_text(
        "import marimo\n"
        "app = marimo.App()\n"
        "@app.cell\n"
        "def _():\n"
        "    import nnfs_xp as nn\n"
        '    nn.see.play(data="circles")\n'
        "    return\n"
        'if __name__ == "__main__":\n'
        "    app.run()\n"
    )
    monkeypatch.setenv("MARIMO_SKIP_UPDATE_CHECK", "1")
    address, _ = serve(
        *("marimo", "run", "app.py", "--headless", "--no-token", "--no-check"),
        *("--host", "127.0.0.1", "--port", "{port}"),
        ready="/health",
    )
    page, guard = visit_others(address)
    page.locator(".see-status").wait_for()
    assert step(page) == expected
    assert (guard.outside, guard.broken) == ([], [])
    assert [text for text in guard.said if text.startswith("error")] == []


def test_two_tabs_do_not_disturb_each_other(visit, play):
    address = play(data="circles").url
    one = visit(address)
    other = one.context.new_page()
    other.goto(address)
    first = shown(other)
    assert shown(one) == first
    third = step(one, n=3)
    assert shown(other) == first
    step(other, n=2)
    assert shown(one) == third
    assert step(other, start=2, n=1) == third
    one.reload()
    expect(one.locator(".see-status")).to_contain_text("Step 0,")
    assert shown(one) == first
    assert shown(other) == third


def test_names_are_no_markup(visit, watching, recording):
    """A run, classes and a recording may be called what they want."""
    page = visit(watching.url)
    run = page.locator(".see-watch-run-name", has_text=MARKUP)
    expect(run).to_have_text(MARKUP)
    expect(page.get_by_role("row", name=MARKUP).first).to_be_visible()
    expect(page.get_by_text("<b>0").first).to_be_visible()
    assert page.locator("img").count() == 0
    page = visit(recording)
    expect(page.locator(".see-status")).to_contain_text("Step 0,")
    assert page.title() == f"Circles {MARKUP}"
    assert page.locator("img[src=x]").count() == 0
