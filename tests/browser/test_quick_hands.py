"""The page keeps up with users who do not wait for its answers."""

from __future__ import annotations

import re

from playwright.sync_api import expect

import nnfs_xp as nn
from nnfs_xp.see import setups
from nnfs_xp.see.playing import PlaySession

SLOW = 0.15
"""Seconds that an answer takes."""


def step_of(page):
    return int(re.match(r"Step (\d+),", page.locator(".see-status").text_content())[1])


def slow_down(page):
    """Let each answer take its time on its way."""

    def later(route):
        page.wait_for_timeout(1000 * SLOW)
        route.continue_()

    page.route("**/ask/*", later)


def test_pause_and_play_while_an_answer_is_on_its_way(visit, play):
    page = visit(play(data="circles").url)
    page.get_by_label("Pace").select_option("steps")
    slow_down(page)
    button = page.get_by_role("button", name=re.compile("Play|Pause"))
    for _ in range(5):  # ends with a click on Play
        button.click()
    page.wait_for_timeout(600)
    button.click()
    expect(button).to_have_text("Play")
    page.wait_for_timeout(4000 * SLOW)
    stopped = step_of(page)
    page.wait_for_timeout(6000 * SLOW)
    assert step_of(page) == stopped


def test_clicks_while_another_network_is_built(visit, play):
    page = visit(play(data="circles").url)
    update = page.get_by_role("button", name="Update")
    for _ in range(4):
        update.click()
    page.get_by_role("textbox", name="Layers").fill("Dense(3), Tanh(), Dense(2)")
    page.get_by_role("button", name="Build").click()
    for _ in range(6):
        update.click()
    expect(page.locator(".see-status")).to_contain_text("Step 6,")
    chart = page.get_by_role("img", name=re.compile("The loss, step by step"))
    setup = setups.Wish(data="circles", layers="Dense(3), Tanh(), Dense(2)")
    session = PlaySession(setups.Workshop(start=setup))
    loss = session.handle({"do": "step", "n": 6})["loss"]
    said = re.search(r"It is ([\d.]+) in step 6", chart.get_attribute("aria-label"))
    assert float(said[1]) == round(loss, 5)
    assert page.evaluate("() => document.querySelectorAll('.see-alert:not([hidden])').length") == 0


def test_a_drag_goes_on_after_another_network_was_built(visit, play):
    page = visit(play(data="circles").url)
    page.get_by_label("Parameter").select_option("2.weights")
    slider = page.get_by_label("Drag")
    expect(slider).to_be_visible()
    slow_down(page)
    page.get_by_role("textbox", name="Layers").fill("Dense(2)")
    page.get_by_role("button", name="Build").click()
    slider.evaluate("s => { s.value = 1; s.dispatchEvent(new Event('input')); }")
    expect(slider).to_be_hidden()
    page.get_by_label("Parameter").select_option("0.weights")
    expect(slider).to_be_visible()
    slider.evaluate("s => { s.value = 1.5; s.dispatchEvent(new Event('input')); }")
    weight = page.locator('.see-picture text[data-key="0.weights[0,0]"]')
    expect(weight).to_have_text("1.50")


def test_what_is_typed_stays_while_the_picture_changes(visit, play):
    page = visit(play(data="circles").url)
    page.get_by_role("textbox", name="Layers").fill("Dense(7), ReLU(), Dense(2)")
    page.get_by_label("Drawn as").select_option("neurons")
    expect(page.locator(".see-picture .see-positive").first).to_be_visible()
    expect(page.get_by_role("textbox", name="Layers")).to_have_value("Dense(7), ReLU(), Dense(2)")


def test_the_picture_follows_the_frame(visit, play):
    page = visit(play(data="circles").url, viewport={"width": 500, "height": 700})
    onward = page.get_by_role("button", name="Forward")
    loss = page.locator('.see-picture text[data-key="loss"]')
    for _ in range(30):
        onward.click()
        if "loss of the sample" in page.locator(".see-says").text_content():
            break
    view = page.locator(".see-scroller").bounding_box()
    seen = loss.bounding_box()
    assert view["x"] <= seen["x"] <= view["x"] + view["width"]
    assert view["y"] <= seen["y"] <= view["y"] + view["height"]


def test_back_goes_through_a_recording(visit, tmp_path):
    path = nn.see.record(tmp_path / "xor.html", data="xor", steps=2)
    page = visit(path.as_uri(), reduced_motion="reduce")
    status = page.locator(".see-status")
    page.get_by_role("button", name="Next step").click()
    expect(status).to_contain_text("Step 1,")
    back = page.get_by_role("button", name="Back")
    for _ in range(40):
        back.click()
    expect(status).to_contain_text("Step 0,")
    expect(page.locator(".see-says")).to_contain_text("1 of 13")


def test_the_lens_is_where_one_pointed(visit, play):
    page = visit(play(data="digits").url)
    image = page.locator('.see-picture image[data-key="0.output:image"]')
    for _ in range(9):
        page.get_by_role("button", name="Forward").click()
    box = image.bounding_box()
    image.click(position={"x": 5, "y": box["height"] - 1})
    expect(page.locator(".see-lens caption")).to_have_text(
        re.compile("0.output, around row 29[0-9]")
    )


def test_a_smaller_batch_changes_the_images_size(visit, play):
    page = visit(play(data="circles", batch_size=30).url)
    page.get_by_label("Drawn as").select_option("fields")
    image = page.locator('.see-picture image[data-key="0.output:image"]')
    expect(image).to_have_attribute("data-rows", "30")
    update = page.get_by_role("button", name="Update")
    update.click()
    update.click()
    expect(image).to_have_attribute("data-rows", "20")
    expect(image).to_have_attribute("aria-label", "output of layer 0, 20 × 4")
