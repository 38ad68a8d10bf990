"""Debian's Chromium, installed where it is missing, and a page of it without a window."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from helpers.shared import once

PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")
PROGRAMS = ("chromium", "chromedriver")


def have_chromium(tmp_path_factory) -> None:
    """Install it, once for all processes; the test is skipped without root or apt-get."""
    if all(map(shutil.which, PROGRAMS)):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("Chromium is missing, and cannot be installed without root and apt-get.")
    once(tmp_path_factory, "chromium", _install)


def _install(_: Path) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-o", "Acquire::Retries=3"]
    subprocess.run([*apt, "update"], env=environment, capture_output=True, check=False)
    command = [*apt, "install", "-y", "--no-install-recommends", *PACKAGES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"Chromium cannot be installed, apt-get says: {done.stderr[-500:]}")


@contextmanager
def browser(width: int, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser whose page is `width` pixels wide; what it asked for is in its performance log."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        # A window can be no narrower than its frame allows: the page is told that it is a screen.
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()
