"""Hostile texts in a report in a real browser: they are shown, and nothing of them runs.

Run with `make test-browser`; needs Chromium, its driver and selenium.
"""

import re
import sys
import time

import pytest

from tests.report import hostile
from tests.report.chromium import console, open_file, press, requests, resize, text, until

pytestmark = pytest.mark.browser


def test_attacks_are_shown_as_text_and_run_nothing(page, attacked_file):
    open_file(page, attacked_file)
    for i, attack in enumerate(hostile.ATTACKS):
        page.execute_script(
            "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
        )
        # Chips and line marks apart, the text is there as it was written.
        shown = page.execute_script(
            """const copy = document.querySelectorAll('.answer .wire')[1].cloneNode(true);
            for (const chip of copy.querySelectorAll('.unseen')) chip.remove();
            return copy.textContent"""
        )
        visible = re.sub(r"[^\x20-\x7e]", "", attack)
        assert visible in re.sub(r"[^\x20-\x7e]", "", shown), i
        press(page, "j")
    assert page.execute_script("return window.attacked") is None
    assert page.execute_script("return document.scripts.length") == 2
    assert (
        page.execute_script(
            "return document.querySelectorAll('img, iframe, link, object, embed, base, form[action], [style*=color]').length"
        )
        == 0
    )
    hrefs = page.execute_script("return [...document.links].map((a) => a.getAttribute('href'))")
    assert hrefs
    assert all(href.startswith("#") for href in hrefs)
    assert requests(page) == [attacked_file.resolve().as_uri()]


def test_the_policy_stops_what_would_get_past_the_escaping(browser, attacked_file):
    open_file(browser, attacked_file)
    console(browser)
    refused = browser.execute_script(
        "try { document.body.innerHTML = '<b>'; return ''; } catch (e) { return e.name; }"
    )
    assert refused == "TypeError"
    handler = "try { document.body.setAttribute('onclick', 'window.attacked = 1') } catch (e) { return e.name }"
    assert browser.execute_script(handler) == "TypeError"
    browser.execute_script(
        "const script = document.createElement('script'); try { script.text = 'window.attacked = 1' } catch {}"
        "document.body.append(script); const img = document.createElement('img'); img.src = 'https://attacker.example/x.png'; document.body.append(img)"
    )
    time.sleep(0.3)
    assert browser.execute_script("return window.attacked") is None
    complaints = " ".join(console(browser))
    assert "img-src" in complaints or "default-src" in complaints


def test_what_is_invisible_is_named_and_turns_nothing_round(page, attacked_file):
    open_file(page, attacked_file)
    index = next(i for i, attack in enumerate(hostile.ATTACKS) if "\u202e" in attack)
    press(page, "j" * index)
    wire = text(page, ".answer:nth-child(2) .wire")
    assert "U+202EgnpU+202C" in wire.replace(".exe", "")
    left = page.execute_script("return document.body.innerText")
    assert not set(left) & {"\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\u2028"}
    # An override in one run's name does not reach the name beside it.
    boxes = page.execute_script(
        "return [...document.querySelectorAll('.key li')].map((li) => li.getBoundingClientRect().left)"
    )
    assert len(set(boxes)) <= 2  # side by side, or below each other


def test_a_megabyte_is_shortened_and_all_of_it_is_a_button_away(page, attacked_file):
    open_file(page, attacked_file, "#case=long")
    until(page, "return document.querySelector('.detail h3')?.textContent === 'long'")
    assert "characters left out" in text(page, ".answer .wire")
    assert len(text(page, ".detail")) < 60_000
    began = time.monotonic()
    page.execute_script("document.querySelector('.answer .wire .more').click()")
    n = page.execute_script("return document.querySelector('.answer .wire').textContent.length")
    page.execute_script("return document.body.offsetHeight")
    seconds = time.monotonic() - began
    assert n == len(hostile.LONG["long"])
    open_file(page, attacked_file, "#case=controls")
    until(page, "return document.querySelector('.detail h3')?.textContent === 'controls'")
    began = time.monotonic()
    page.execute_script("document.querySelector('.answer .wire .more').click()")
    page.execute_script("return document.body.offsetHeight")
    sys.stdout.write(
        f"a megabyte in {seconds:.2f} s, controls in {time.monotonic() - began:.2f} s\n"
    )
    assert (
        page.execute_script("return document.querySelectorAll('.answer .wire .unseen').length")
        < 10_000
    )
    assert max(seconds, time.monotonic() - began) < 5


def test_a_case_whose_id_cannot_stand_in_an_address_is_reached_by_its_place(page, attacked_file):
    open_file(page, attacked_file)
    until(page, "return document.querySelector('.detail h3 a')")
    long = len(hostile.ATTACKS) - 1
    for index in (long, next(i for i, a in enumerate(hostile.ATTACKS) if "\ud800" in a)):
        open_file(page, attacked_file, f"#at=0.{index}")
        heading = f"return document.querySelector('.detail h3')?.textContent.startsWith('{index} ')"
        until(page, heading)
        link = "return document.querySelector('.detail h3 a').getAttribute('href')"
        assert page.execute_script(link) == f"#at=0.{index}"


def test_attacks_do_not_burst_a_phone(page, attacked_file):
    resize(page, 390, 844)
    open_file(page, attacked_file)
    until(page, "return document.querySelector('.answer')")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
