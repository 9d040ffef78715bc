"""A headless Chromium, driven by selenium, that opens files from the disk."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

WAIT = 10  # seconds
BINARIES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium(width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """Yield a browser of a size, with its console and its network recorded."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    found = [path for path in map(shutil.which, BINARIES) if path]
    if not found:
        raise RuntimeError("no Chromium here: apt-get install chromium chromium-driver")
    options.binary_location = found[0]
    for argument in (
        "--headless=new",
        "--no-sandbox",  # in a container nobody else may make one
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        # The window's smallest width is 500 pixels; a phone's is asked for in another way.
        resize(driver, width, height)
        yield driver
    finally:
        driver.quit()


def resize(driver: Chrome, width: int, height: int, scale: float = 1) -> None:
    """Give the page a size in CSS pixels."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600},
    )


def prefer(driver: Chrome, scheme: str) -> None:
    """Let the system prefer "light" or "dark"."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def console(driver: Chrome) -> list[str]:
    """Return what the browser complained of since it was last asked, violations of policy too."""
    return [entry["message"] for entry in driver.get_log("browser")]


def open_file(driver: Chrome, path: Path, fragment: str = "") -> None:
    """Open a file afresh, also where only the fragment is another."""
    driver.get("about:blank")
    driver.get(path.resolve().as_uri() + fragment)


def until(page, script, *arguments):
    """Wait until a script returns something true, and return it."""
    end = time.monotonic() + WAIT
    while True:
        found = page.execute_script(script, *arguments)
        if found:
            return found
        assert time.monotonic() < end, f"{script}: {found!r}"
        time.sleep(0.02)


def text(page, selector):
    return page.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def press(page, keys):
    page.find_element("tag name", "body").send_keys(keys)


def requests(page):
    """Return the addresses of everything that the page asked for."""
    found = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [
        m["params"]["request"]["url"] for m in found if m["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in sent if url != "about:blank"]


def search(page, words):
    found = page.find_element("css selector", ".filters input[type=search]")
    found.clear()
    found.send_keys(words)


def count(page, expected):
    """Wait until so many cases are said to be shown."""
    until(
        page,
        "return document.querySelector('[role=status]').textContent.startsWith(arguments[0])",
        f"{expected:,} of",
    )
    return page.execute_script("return document.querySelectorAll('.row').length")


def select(page, label, value):
    """Choose an option as a person does, who sees no values."""
    page.execute_script(
        """const label = [...document.querySelectorAll(".filters label")].find((l) => l.firstChild.data === arguments[0]);
        const input = label.querySelector("select");
        const options = [...input.options];
        input.value = (options.find((o) => o.textContent === arguments[1]) ?? options.find((o) => o.textContent.startsWith(arguments[1]))).value;
        input.dispatchEvent(new Event("change", { bubbles: true }))""",
        label,
        value,
    )
