"""The report in a real browser: what it shows, and how it is used.

Run with `make test-browser`; needs Chromium, its driver and selenium.
"""

import json
import re

import pytest

from tests.report.chromium import (
    count,
    open_file,
    prefer,
    press,
    resize,
    search,
    select,
    text,
    until,
)

pytestmark = pytest.mark.browser


def test_filters_show_the_cases_that_they_say(page, stored_file):
    open_file(page, stored_file)
    data = page.execute_script("return JSON.parse(document.getElementById('evidence').textContent)")
    cases = data["groups"][0]["cases"]

    def n_cases(wanted):
        return sum(wanted(case) for case in cases)

    assert count(page, 40) > 10
    select(page, "Turn", "stray whitespace")
    count(page, n_cases(lambda c: any(a[0]["outcome"] == "stray_whitespace" for a in c["runs"])))
    select(page, "Run", "B")
    count(page, n_cases(lambda c: c["runs"][1][0]["outcome"] == "stray_whitespace"))
    select(page, "Turn", "any turn")
    select(page, "Result", "right")
    right = n_cases(lambda c: c["runs"][1][0]["right"])
    assert 0 < right < 40
    count(page, right)
    # Behind the bar at the top, where selenium scrolls it, nothing can be pressed.
    page.execute_script("document.getElementById('cases').scrollIntoView({ behavior: 'instant' })")
    page.find_element("xpath", "//button[text()='Reset']").click()
    count(page, 40)
    select(page, "Runs", "runs differ")
    count(page, n_cases(lambda c: len({a[0]["right"] for a in c["runs"]}) == 2))
    select(page, "Runs", "all cases")
    select(page, "Tag", "parallel_2")
    count(page, n_cases(lambda c: "parallel_2" in c["tags"]))
    select(page, "Tag", "any tag")
    search(page, "FLASHLIGHT")
    found = n_cases(
        lambda c: (
            "flashlight"
            in json.dumps([c["id"], c["messages"][1:], c["expected"], c["runs"]]).lower()
        )
    )
    assert 0 < found < 40
    until(page, "return !document.querySelector('[role=status]').textContent.startsWith('40')")
    search(page, "no such words anywhere")
    count(page, 0)
    assert "No case is like this" in text(page, ".list")
    assert text(page, ".detail") == ""


def test_a_bar_leads_to_its_cases(page, stored_file):
    open_file(page, stored_file)
    page.execute_script(
        "document.querySelector('a[href*=\"run=1\"][href*=stray_whitespace]').click()"
    )
    count(page, 26)
    assert page.execute_script(
        "return document.querySelector('.answer header').textContent"
    ).startswith("B")


def test_every_case_has_an_address_that_opens_it(page, stored_file):
    open_file(page, stored_file, "#case=eval-0018")
    until(page, "return document.querySelector('.detail h3')?.textContent === 'eval-0018'")
    top = page.execute_script("return document.getElementById('cases').getBoundingClientRect().top")
    assert -50 < top < 200
    selected = until(page, "return document.querySelector('[aria-selected=true]')?.textContent")
    assert "eval-0018" in selected
    press(page, "j")
    until(page, "return location.hash.includes('case=eval-0019')")
    page.refresh()
    until(page, "return document.querySelector('.detail h3')?.textContent === 'eval-0019'")
    # Of the other suite, by its number.
    open_file(page, stored_file, "#case=expenses&group=1")
    until(page, "return document.querySelector('[role=status]')?.textContent.startsWith('5 of 5')")
    open_file(page, stored_file, "#case=nowhere")
    until(
        page,
        "return document.querySelector('[role=status]')?.textContent.includes('there is no case nowhere')",
    )


def test_an_answer_has_its_caret_and_its_arguments(page, stored_file):
    open_file(page, stored_file, "#run=2&outcome=stray_whitespace")
    count(page, 39)
    assert text(page, ".answer .caret") == "␣"
    assert "no whitespace between tokens" in text(page, ".answer .why")
    open_file(page, stored_file, "#run=0&right=0&outcome=calls")
    until(page, "return document.querySelector('.args tr.no, .call .bad')")
    marked = page.execute_script(
        "return [...document.querySelectorAll('.answer .args mark')].map((m) => m.textContent)"
    )
    assert marked
    page.execute_script("document.querySelector('.answer details summary').click()")
    until(
        page,
        "return document.querySelector('.answer details .wire')?.textContent.includes('<start_of_turn>')",
    )


def test_the_keyboard_is_enough(page, stored_file):
    from selenium.webdriver.common.keys import Keys

    open_file(page, stored_file)
    count(page, 40)
    press(page, "jj")
    until(page, "return document.querySelector('.detail h3').textContent === 'eval-0003'")
    press(page, "k")
    until(page, "return document.querySelector('.detail h3').textContent === 'eval-0002'")
    press(page, "/")
    assert page.switch_to.active_element.get_attribute("type") == "search"
    page.switch_to.active_element.send_keys("j")  # is written, and moves nothing
    until(page, "return document.querySelector('.detail h3').textContent === 'eval-0002'")
    page.switch_to.active_element.send_keys(Keys.BACKSPACE, Keys.ESCAPE)
    count(page, 40)
    listed = page.find_element("css selector", ".list")
    listed.send_keys(Keys.END)
    until(page, "return document.querySelector('.detail h3').textContent === 'eval-0040'")
    active = page.execute_script(
        "return document.activeElement.getAttribute('aria-activedescendant')"
    )
    assert (
        page.execute_script(
            "return document.getElementById(arguments[0]).getAttribute('aria-selected')", active
        )
        == "true"
    )
    listed.send_keys(Keys.ARROW_UP)
    until(page, "return document.querySelector('.detail h3').textContent === 'eval-0039'")
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    # Everything that can be pressed has a name.
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('button, a, select, input')].filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
    )
    assert unnamed == 0


def background(page):
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_dark_follows_the_system_until_somebody_chooses(page, stored_file):
    open_file(page, stored_file)
    assert background(page) > 700
    prefer(page, "dark")
    assert background(page) < 100
    page.find_element("id", "theme").click()
    assert background(page) > 700
    page.find_element("id", "theme").click()
    assert background(page) < 100


@pytest.mark.parametrize("width", [320, 390, 700, 820, 1024, 1160])
def test_nothing_is_wider_than_the_screen(page, stored_file, width):
    resize(page, width, 800)
    open_file(page, stored_file, "#run=1&right=0")
    until(page, "return document.querySelector('.answer')")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    small = page.execute_script(
        "return [...document.querySelectorAll('.row .name, .board .value, .answer .wire')].filter((e) => parseFloat(getComputedStyle(e).fontSize) < 12).length"
    )
    assert small == 0


def test_tables_and_charts_are_there_without_script(page, stored_file):
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_file(page, stored_file)
        assert "The case browser needs JavaScript" in page.find_element("id", "cases").text
        assert page.find_element("css selector", ".board .whiskers").size["width"] > 90
        assert page.find_element("css selector", ".curves").size["height"] > 200
        assert not page.find_element("id", "browser").is_displayed()
        assert not page.find_element("id", "theme").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_print_leaves_out_what_paper_cannot_do(page, stored_file):
    open_file(page, stored_file)
    prefer(page, "dark")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not page.find_element("css selector", ".list").is_displayed()
        assert not page.find_element("css selector", "nav").is_displayed()
        assert page.find_element("css selector", ".board").is_displayed()
        assert background(page) == 3 * 255
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
