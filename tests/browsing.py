"""A real browser, and what a page said and asked for in it."""

import json
import os
import shutil
import time

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1400",
)
LONGEST_WAIT = 600.0
"""Seconds after which drawing counts as hung; on idle cores it takes a few."""


def open_browser():
    """Chromium, or a skipped test where there is none and none is required."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        if os.environ.get("TDYN_REQUIRE_BROWSER"):
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(LONGEST_WAIT)  # a page that is drawing answers late on busy cores
    return opened


def wait_until(browser, condition):
    """Wait for a function of nothing to be true, and return its value."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not (value := condition()):
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)
    return value


def errors_in(browser):
    """Errors on the console since the last call."""
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def foreign_requests(browser):
    """Addresses since the last call that are not within the page."""
    within = ("data:", "blob:", "about:")
    return {url for url in requests_of(browser) if not url.startswith(within)}


def requests_of(browser):
    """Addresses that the page asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
