"""The audit's page in a real browser: filters, links, keyboard and a phone's width."""

import json
import re
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and shutil.which("chromedriver")), reason="needs Chromium and its driver, such as Debian's packages"
)
QUIET = ["disable-background-networking", "disable-component-update", "disable-sync", "disable-quic", "no-first-run"]


@pytest.fixture(scope="module")
def page(audited, tmp_path_factory):
    """A browser that shows the page, and records what the page logs and asks for."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless", "no-sandbox", "disable-gpu", *QUIET):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    browser.set_window_size(1280, 900)
    browser.get(f"file://{audited.folder}/results/audit/index.html")
    yield browser
    browser.quit()


def shown(page) -> list[dict]:
    """Return the data of the generations on the page."""
    return page.execute_script(
        "return [...document.querySelectorAll('.generation')].map((card) => ({...card.dataset}))"
    )


def test_the_page_shows_every_claim_figure_and_cell_of_table_1(page, audited):
    claims = (audited.folder / "results/audit/claims.csv").read_text()
    articles = page.find_elements(By.CSS_SELECTOR, ".claim")
    assert len(articles) == len(re.findall(r"^[a-z]\w+,", claims, re.M)) - 1
    assert len(page.find_elements(By.CSS_SELECTOR, "#table-1 ~ div tbody tr")) == 9
    pictures = page.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert len(pictures) == 2
    assert all(pictures)


@pytest.mark.parametrize("name", ["model", "type", "steps", "strategy", "correct"])
def test_each_filter_leaves_what_matches(page, name):
    select = Select(page.find_element(By.ID, f"filter-{name}"))
    values = [option.text for option in select.options if option.text != "all"]
    every = len(json.loads(page.find_element(By.ID, "rows").get_attribute("textContent")))
    numbers = []
    for value in values:
        select.select_by_visible_text(value)
        found = shown(page)
        assert {card[name] for card in found} <= {value}
        numbers.append(int(re.search(r"of (\d+) shown", page.find_element(By.ID, "found").text)[1]))
        assert bool(found) == (numbers[-1] > 0)
    select.select_by_visible_text("all")
    assert sum(numbers) == every


def test_show_more_shows_more(page):
    before = len(shown(page))
    page.find_element(By.ID, "more").send_keys(Keys.ENTER)
    assert len(shown(page)) > before


def test_links_resolve_and_open_what_they_name(page):
    broken = page.execute_script(
        "return [...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))"
        ".filter((target) => !target.startsWith('#') || !document.getElementById(target.slice(1)))"
    )
    assert broken == []
    for details in page.find_elements(By.CSS_SELECTOR, "#figures ~ details")[:1]:
        details.find_element(By.TAG_NAME, "summary").click()
        link = details.find_element(By.CSS_SELECTOR, "li a[href^='#FB']")
        target = link.get_attribute("href").split("#")[1]
        link.click()
        assert page.execute_script("return document.getElementById(arguments[0]).open", target)


def test_every_control_is_reached_by_keyboard(page):
    controls = page.execute_script(
        "return [...document.querySelectorAll('a, select, button, summary')].filter((e) => e.checkVisibility()).length"
    )
    page.execute_script("document.activeElement.blur(); window.scrollTo(0, 0); location.hash = ''")
    reached = set()
    keys = webdriver.ActionChains(page)
    for _ in range(controls + 60):
        keys.send_keys(Keys.TAB).perform()
        element = page.switch_to.active_element
        if element.tag_name in ("a", "select", "button", "summary"):
            reached.add(element.id)
        if len(reached) == controls:
            break
    assert len(reached) == controls


def test_a_phone_shows_it_without_scrolling_sideways(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    for details in page.find_elements(By.CSS_SELECTOR, "#artifacts ~ details")[:3]:
        page.execute_script("arguments[0].open = true", details)
    width, room = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= room == 360


def test_nothing_is_logged_and_nothing_is_asked_of_a_network(page):
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requests = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # The browser's own first tab asks for things of its own.
    asked = [r["request"]["url"] for r in requests if r["documentURL"].startswith("file:")]
    assert asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
