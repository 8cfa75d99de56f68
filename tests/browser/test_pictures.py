"""What is drawn can be read: no text lies over another or outside, in any figure and frame."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

import nnfs_xp as nn
from tests.browser.conftest import opened
from tests.cases import LAYERS, LOSSES

UNREADABLE = """
(svg) => {
  // Rounding of half a pixel hides nothing.
  const room = 0.5;
  const own = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].filter((text) => {
    const { visibility, opacity } = getComputedStyle(text);
    return text.textContent.trim() !== "" && visibility === "visible" && opacity !== "0";
  });
  const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  const framed = [...svg.querySelectorAll("rect.see-box")];
  const frames = framed.map((box) => box.getBoundingClientRect());
  const found = [];
  boxes.forEach(([text, box], n) => {
    if (!box.width || !box.height) found.push(`${text} is not drawn`);
    const across = Math.max(own.left - box.left, box.right - own.right);
    const over = Math.max(across, own.top - box.top, box.bottom - own.bottom);
    if (over > room) found.push(`${text} ends outside by ${over}`);
    const middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    for (const frame of frames) {
      const isIn = frame.left < middle[0] && middle[0] < frame.right;
      if (!isIn || middle[1] < frame.top || frame.bottom < middle[1]) continue;
      const wide = Math.max(frame.left - box.left, box.right - frame.right);
      if (wide > room) found.push(`${text} is wider than its box by ${wide}`);
    }
    for (const [other, with_] of boxes.slice(n + 1)) {
      const across = Math.min(box.right, with_.right) - Math.max(box.left, with_.left);
      const down = Math.min(box.bottom, with_.bottom) - Math.max(box.top, with_.top);
      if (across > room && down > room) found.push(`${text} over ${other}: ${across} x ${down}`);
    }
  });
  return { count: texts.length, found };
}
"""
"""Counts the visible texts of a picture, and says which overlap, or leave it, or a box of it."""

EACH = f"""
(svgs) => svgs.map((text) => {{
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  document.body.replaceChildren(document.importNode(parsed.documentElement, true));
  return ({UNREADABLE})(document.body.firstChild);
}})
"""


@pytest.fixture(scope="module")
def board(browser):
    """An empty page for one picture after the other."""
    with opened(browser) as go:
        yield go("about:blank")


@pytest.fixture
def readable(board):
    """Look at each frame of a picture; the last one has that many texts and more."""

    def check(picture, least):
        svgs = [picture.svg(frame) for frame in range(len(picture.frames))]
        seen = board.evaluate(EACH, svgs)
        for caption, each in zip(picture.frames, seen, strict=True):
            assert each["found"] == [], caption
        assert seen[-1]["count"] >= least

    return check


def test_the_figures_of_the_chapter(visit, tmp_path):
    page, path = visit("about:blank"), tmp_path / "figure.svg"
    for number in range(1, 19):
        path.write_text(nn.see.chapter(f"9-{number}").svg(), "utf-8")
        page.goto(path.as_uri())
        seen = page.locator("svg").evaluate(UNREADABLE)
        assert seen["found"] == [], number
        assert seen["count"] > number


def small_network():
    layers = nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 2)
    return nn.Sequential(*layers, seed=0), nn.SoftmaxCategoricalCrossentropy()


def larger_network():
    layers = nn.Dense(4, 5), nn.Tanh(), nn.Dense(5, 3), nn.Softmax()
    return nn.Sequential(*layers, seed=0), nn.CategoricalCrossentropy()


@pytest.mark.parametrize(("network", "n_features"), [(small_network, 2), (larger_network, 4)])
@pytest.mark.parametrize("size", [1.0, -1234.5, 1e-7])
def test_networks(readable, network, n_features, size):
    """Numbers of up to 8 characters have room."""
    model, loss = network()
    X = size * np.random.default_rng(0).normal(size=(5, n_features))
    readable(nn.see.graph(model, X, [0, 1, 1, 0, 1], loss=loss, sample=1), 40)


@pytest.mark.parametrize("detail", ["operations", "neurons", "fields", "layers"])
@pytest.mark.parametrize(("network", "n_features"), [(small_network, 2), (larger_network, 4)])
def test_details(readable, network, n_features, detail):
    model, loss = network()
    X = np.random.default_rng(0).normal(size=(5, n_features))
    readable(nn.see.graph(model, X, [0, 1, 1, 0, 1], loss=loss, detail=detail), 12)


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_layers(readable, case):
    layer = case.build("float64")
    dvalues = np.random.default_rng(3).normal(size=layer.forward(case.inputs).shape)
    readable(nn.see.graph(layer, case.inputs, dvalues=dvalues, sample=1), 7)  # heat maps


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_losses(readable, case):
    picture = nn.see.graph(nn.Linear(), case.y_pred, case.y_true, loss=case.loss)
    readable(picture, 10)


@pytest.mark.parametrize(
    "data", ["circles", "moons", "xor", "clusters", "spiral", "sine", "digits", "neuron"]
)
def test_pages(visit, play, data):
    """The picture of the page, after some steps, in each of its frames."""
    page = visit(play(data=data).url)
    picture, status = page.locator("svg.see-picture"), page.locator(".see-status")
    for step in range(3):
        expect(status).to_contain_text(f"Step {step},")
        page.get_by_role("button", name="Update").click()
    expect(status).to_contain_text("Step 3,")
    counts = []
    caption = page.locator(".see-says")
    while True:
        seen = picture.evaluate(UNREADABLE)
        assert seen["found"] == [], caption.text_content()
        counts.append(seen["count"])
        place, last = caption.text_content().partition(".")[0].split(" of ")
        if place == last:
            break
        page.get_by_role("button", name="Forward").click()
    assert len(counts) == int(last) > 4
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_an_animation_stands_still_where_less_motion_is_asked_for(visit, tmp_path, motion):
    picture = nn.see.chapter("9-18")
    path = picture.save(tmp_path / "all.svg", animated=True)
    page = visit(path.as_uri(), reduced_motion=motion)
    opacities = page.evaluate(
        """() => [...document.querySelectorAll("text")].map((text) =>
          [text.textContent, Number(getComputedStyle(text).opacity)])"""
    )
    shown = [text for text, opacity in opacities if opacity == 1]
    running = page.evaluate("document.getAnimations().length")
    if motion == "reduce":
        assert running == 0
        assert picture.frames[-1] in shown
        assert not set(picture.frames[:-1]) & set(shown)
        assert page.locator("svg").evaluate(UNREADABLE)["found"] == []
    else:
        assert running > 18
        assert picture.frames[-1] not in shown
