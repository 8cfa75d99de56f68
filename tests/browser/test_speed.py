"""A thousand weights as heat maps move as fast as the screen is painted."""

from __future__ import annotations

import os
from statistics import median

from playwright.sync_api import expect

STEPS = """
async (wanted) => {
  const buttons = [...document.querySelectorAll("button")];
  const update = buttons.find((each) => each.textContent === "Update");
  const painted = new MessageChannel();
  let arrived, applied;
  Response.prototype.json = async function () {
    const text = await this.text();
    arrived = performance.now();
    return JSON.parse(text);
  };
  const observer = new MutationObserver(() => { applied = performance.now(); });
  observer.observe(document.querySelector(".see-status"), { childList: true });
  // A frame's time, and how long the page works until it is painted.
  const frame = () => new Promise((resolve) => requestAnimationFrame((time) => {
    const begun = performance.now();
    painted.port1.onmessage = () => resolve([time, performance.now() - begun]);
    painted.port2.postMessage(null);
  }));
  const found = [];
  let [last] = await frame();
  const end = last + 60_000;
  update.click();
  while (found.length < wanted) {
    const [now, painting] = await frame();
    if (applied) {
      const [next] = await frame();
      found.push({ work: applied - arrived + painting, frame: Math.max(now - last, next - now) });
      last = next;
      applied = undefined;
      update.click();
    } else {
      last = now;
    }
    if (last > end) throw new Error(`${found.length} steps in a minute`);
  }
  observer.disconnect();
  return found;
}
"""
"""Takes so many steps; the work of each, and its frame."""


def test_heat_maps_of_a_thousand_weights(visit, play, capsys):
    """
    What is measured: the page takes one step after the other, each as soon as that before it is
    shown. Of each step there are two times. Its work: from the moment that the answer is there
    (its JSON is read, and all texts, lines, heat maps and charts are brought up to date), and of
    the next frame, until layout and painting are done. And its frame: the longer of that in which
    the answer comes and the one behind it, as `requestAnimationFrame` tells their times; it is
    16.7 ms at least. Frames that pass while Python works have no news, and are left out: they would
    make the median smaller.
    """
    layers = "Dense(30), ReLU(), Dense(30), ReLU(), Dense(3)"
    page = visit(play(data="clusters", layers=layers).url)
    while page.locator(".see-hidden").count():  # all that there is to see
        page.get_by_role("button", name="Forward").click()
    weights = page.locator('.see-picture image[data-key$=".weights:image"]')
    expect(weights).to_have_count(3)
    data = weights.evaluate_all("(all) => all.map((one) => ({ ...one.dataset }))")
    sizes = [int(each["rows"]) * int(each["columns"]) for each in data]
    assert sum(sizes) == 2 * 30 + 30 * 30 + 30 * 3
    # Others work on CI's cores at the same time, and the browser paints without a GPU: frames are
    # missed then, and the median may be that of two frames.
    most = 34 if os.environ.get("CI") else 17
    rounds = []
    while len(rounds) < 3 and not (rounds and max(rounds[-1]) <= most):  # others may have worked
        steps = page.evaluate(STEPS, 90)
        work, frame = (median(step[name] for step in steps) for name in ("work", "frame"))
        rounds.append((work, frame))
        with capsys.disabled():
            print(f"\n1,050 weights as heat maps: {work:.1f} ms of work, {frame:.1f} ms a frame")
    assert min(map(max, rounds)) <= most
