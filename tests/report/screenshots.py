"""Pictures of a report of stored runs: results/report-desktop.png, -cases.png and -phone.png.

python -m tests.report.screenshots
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import fcbench
from fcbench.report.html import read_log, report
from tests.report.chromium import chromium, open_file, prefer, resize

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

RESULTS = Path(__file__).parent.parent.parent / "results"
LOGS = [RESULTS / "original_experiment" / f"curves-{name}.jsonl" for name in ("chat", "raw")]
PHONE, DESKTOP = 390, 1280
LARGEST = 400_000  # bytes
CASE = "#case=eval-0031&run=2"


def main() -> None:
    """Write the report of the runs over mobile_actions, and take its pictures."""
    runs = sorted(RESULTS.glob("mobile_actions-40--*"))
    scored = [fcbench.score(run) for run in runs]
    html = report(list(map(str, runs)), scored, list(map(read_log, LOGS)))
    with tempfile.TemporaryDirectory() as folder, chromium(DESKTOP) as driver:
        file = Path(folder) / "report.html"
        file.write_bytes(html.encode())
        prefer(driver, "light")
        open_file(driver, file)
        # Of tables that say the same of other metrics, the first is enough in a picture.
        _take(driver, "desktop", DESKTOP, _below(driver, "training"))
        resize(driver, DESKTOP, 1000)
        prefer(driver, "dark")
        open_file(driver, file, CASE)
        _wait(driver)
        _save(driver.get_screenshot_as_png(), "cases")
        resize(driver, PHONE, 844, scale=1)
        prefer(driver, "light")
        open_file(driver, file)
        _take(driver, "phone", PHONE, 2200)


def _below(driver: Chrome, section: str) -> float:
    """Return where a section ends."""
    script = "return document.getElementById(arguments[0]).getBoundingClientRect().bottom + scrollY"
    return float(driver.execute_script(script, section)) + 30


def _wait(driver: Chrome) -> None:
    """Wait until what was drawn last is on the screen."""
    driver.execute_async_script("const done = arguments[0]; setTimeout(done, 500)")


def _take(driver: Chrome, name: str, width: int, height: float) -> None:
    """Save the page from its top down to a height."""
    _wait(driver)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
    )
    _save(base64.b64decode(taken["data"]), name)


def _save(picture: bytes, name: str) -> None:
    path = RESULTS / f"report-{name}.png"
    path.write_bytes(picture)
    sys.stdout.write(f"{path.relative_to(RESULTS.parent)}: {len(picture) // 1000} kB\n")
    if len(picture) > LARGEST:
        raise SystemExit(f"{path}: more than {LARGEST // 1000} kB")


if __name__ == "__main__":
    main()
