"""The page can be used by keyboard, with less motion, in the dark, and on a narrow screen."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.test_hosts import shown, step

FOCUSED = """
() => {
  const element = document.activeElement;
  const label = element.closest("label")?.querySelector("span")?.textContent;
  return element.ariaLabel ?? label ?? element.textContent;
}
"""


def tab_to(page, name):
    """Press Tab until what is called so has the focus, wherever it was before."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_by_keyboard_alone(visit, play):
    page = visit(play(data="circles").url)
    press, status = page.keyboard.press, page.locator(".see-status")
    expect(status).to_contain_text("Step 0,")
    start = shown(page)

    tab_to(page, "Update")
    press("Enter")
    expect(status).to_contain_text("Step 1,")
    press("Space")
    expect(status).to_contain_text("Step 2,")
    assert shown(page) != start

    # The first weight, and then its neighbour.
    value, facts = page.get_by_label("Value", exact=True), page.locator(".see-facts")
    expect(value).to_be_hidden()
    tab_to(page, "Parameter")
    press("ArrowDown")
    expect(value).to_be_visible()
    weight = page.locator('.see-picture text[data-key="0.weights[0,0]"]')
    expect(weight).to_contain_class("see-chosen")
    tab_to(page, "Column")
    press("ArrowUp")
    weight = page.locator('.see-picture text[data-key="0.weights[0,1]"]')
    expect(weight).to_contain_class("see-chosen")

    tab_to(page, "Value")
    press("Control+a")
    page.keyboard.type("0.75")
    press("Enter")
    expect(weight).to_have_text("0.750")
    gradient = page.locator('.see-picture text[data-key="0.dweights[0,1]"]')
    by_backpropagation = facts.locator("dd").first.text_content()
    assert float(by_backpropagation) == pytest.approx(float(gradient.text_content()), rel=0.01)

    tab_to(page, "Check the gradient")
    press("Enter")
    expect(facts).to_contain_text("digits that agree")
    values = facts.locator("dd").all_text_contents()
    assert values[0] == values[1] == by_backpropagation
    assert int(values[2]) >= 7

    before = shown(page)
    tab_to(page, "Sample")
    press("Control+a")
    page.keyboard.type("7")
    press("Enter")
    inputs = '.see-picture text[data-key="0.inputs[0]"]'
    expect(page.locator(inputs)).not_to_have_text(dict(before["numbers"])["0.inputs[0]"])
    press("Control+a")
    page.keyboard.type("0")
    press("Enter")
    expect(page.locator(inputs)).to_have_text(dict(before["numbers"])["0.inputs[0]"])
    assert shown(page) == before

    tab_to(page, "Rewind")
    press("Enter")
    expect(status).to_contain_text("Step 0,")
    assert shown(page) == start
    tab_to(page, "Forward ›")
    press("Enter")
    expect(page.locator(".see-says")).to_contain_text("2 of ")
    tab_to(page, "The network")


def test_a_bias_by_keyboard_alone(visit, play):
    page = visit(play(data="circles").url)
    expect(page.locator(".see-status")).to_contain_text("Step 0,")
    tab_to(page, "Parameter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Column")
    page.keyboard.press("ArrowUp")
    chosen = page.locator(".see-picture text.see-chosen")
    expect(chosen).to_have_attribute("data-key", "0.biases[1]")


def test_numbers_of_a_heat_map_by_keyboard_alone(visit, play):
    page = visit(play(data="digits").url)
    expect(page.locator(".see-status")).to_contain_text("Step 0,")
    tab_to(page, "Parameter")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Row")
    page.keyboard.press("ArrowUp")
    here = page.locator(".see-lens .see-here")
    expect(page.locator(".see-lens caption")).to_have_text("0.weights, around row 1, column 0")
    expect(page.get_by_label("Value", exact=True)).to_have_value(here.text_content())
    before = here.text_content()
    tab_to(page, "Update")
    page.keyboard.press("Enter")
    expect(here).not_to_have_text(before)
    expect(page.get_by_label("Value", exact=True)).to_have_value(here.text_content())


def test_a_recording_by_keyboard_alone(visit, recording):
    page = visit(recording, reduced_motion="reduce")
    start = shown(page)
    tab_to(page, "Next step")
    page.keyboard.press("Enter")
    expect(page.locator(".see-status")).to_contain_text("Step 1,")
    tab_to(page, "Rewind")
    page.keyboard.press("Enter")
    expect(page.locator(".see-status")).to_contain_text("Step 0,")
    assert shown(page) == start


def blamed(page):
    """What axe finds, all of its rules asked."""
    return [
        f"{each['id']}: {node['target']}: {node['failureSummary']}"
        for each in Axe().run(page).response["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page(visit, play, scheme):
    page = visit(play(data="circles").url, color_scheme=scheme)
    step(page, n=2)
    assert blamed(page) == []
    page.locator('.see-picture text[data-key="0.weights[0,0]"]').click()
    page.get_by_role("button", name="Check the gradient").click()
    expect(page.locator(".see-facts")).to_contain_text("digits that agree")
    assert blamed(page) == []
    page.get_by_label("Layers", exact=True).fill("Nothing(3)")
    page.get_by_role("button", name="Build").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert blamed(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("data", ["digits", "sine"])
def test_axe_finds_nothing_in_heat_maps_and_lines(visit, play, data, scheme):
    page = visit(play(data=data).url, color_scheme=scheme)
    step(page, n=1)
    if data == "digits":
        page.locator('.see-picture image[data-key="0.weights:image"]').click()
        expect(page.locator(".see-lens table")).to_be_visible()
    assert blamed(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page_that_watches(visit, watching, scheme):
    page = visit(watching.url, color_scheme=scheme)
    expect(page.get_by_text("Weights of the first layer")).to_be_visible()
    expect(page.locator(".see-watch-strip").first).to_be_visible()
    assert blamed(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_recording(visit, recording, scheme):
    page = visit(recording, color_scheme=scheme, reduced_motion="reduce")
    step(page, "Next step", n=2)
    assert blamed(page) == []


def test_a_recording_plays_by_itself(visit, recording):
    page = visit(recording, reduced_motion="no-preference")
    expect(page.locator(".see-says")).to_contain_text("3 of ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_a_recording_waits_where_less_motion_is_asked_for(visit, recording):
    page = visit(recording, reduced_motion="reduce")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_timeout(1200)  # frames come every 0.9 s
    expect(page.locator(".see-says")).to_contain_text("1 of ")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".see-says")).to_contain_text("3 of ")


@pytest.mark.parametrize("width", [375, 1400])
@pytest.mark.parametrize("kind", ["circles", "digits", "watching", "recording"])
def test_nothing_is_wider_than_the_screen(visit, play, watching, recording, kind, width):
    known = {"watching": watching.url, "recording": recording}
    address = known.get(kind) or play(data=kind).url
    page = visit(address, viewport={"width": width, "height": 800}, reduced_motion="reduce")
    if kind == "watching":
        expect(page.locator(".see-watch-strip").first).to_be_visible()
    else:
        expect(page.locator(".see-status")).to_contain_text("Step 0,")
    if kind == "digits":
        page.locator('.see-picture image[data-key="0.weights:image"]').click()
        expect(page.locator(".see-lens table")).to_be_visible()
    if kind == "circles":
        page.locator('.see-picture text[data-key="0.weights[0,0]"]').click()
        expect(page.get_by_role("button", name="Check the gradient")).to_be_visible()
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == width
