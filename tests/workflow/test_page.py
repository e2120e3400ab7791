"""The audit's page: what it says of tests and steps, and how it behaves in a real browser, by keyboard and on a phone."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from conftest import SMOKE_SEEDS
from selectimprove.analysis.claims import ClaimTest, read_claims
from selectimprove.artifacts.provenance import read_record
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.reports.excerpt import COLUMNS, PER_KIND, draw_excerpt, name_models
from selectimprove.reports.page import (
    choose_ticks,
    claimed_range,
    describe_range,
    describe_test,
    read_rows,
    show_tests,
    write_page,
)
from selectimprove.tasks.compositions.problems import respond
from selectimprove.tasks.interface import load_task

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(
    not (CHROMIUM and shutil.which("chromedriver")), reason="needs Chromium and its driver, such as Debian's packages"
)
QUIET = ["disable-background-networking", "disable-component-update", "disable-sync", "disable-quic", "no-first-run"]
FILTERS = ["model", "type", "problems", "steps", "strategy", "outcome"]
CONTROLS = "a, select, button, summary, [tabindex='0']"


def test_the_tests_of_a_claim_are_told_apart_in_words():
    for claim in read_claims().values():
        # The page shows the claimed range beside them.
        told = {(describe_test(test), describe_range(*claimed_range(test))) for test in claim.tests}
        assert len(told) == len(claim.tests)
    of = {"sft": "FB", "training": "rl_6_9"}
    assert describe_test(ClaimTest(of=of, less=0.85, above=0)) == "pass@1 on 6–9 steps: FB after RL(6–9) minus 85 %"
    other = {"sft": "B", "problem_type": "inversion"}
    assert describe_test(ClaimTest(of=of | {"problem_type": "inversion"}, less=other, within=0.05)) == (
        "pass@1 on inversion, 6–9 steps: FB after RL(6–9) minus B after SFT"
    )


@settings(max_examples=200, deadline=None)
@given(*2 * [st.floats(-100, 100, allow_subnormal=False)])
def test_ticks_are_round_and_span_the_range_and_zero(one, other):
    ticks = choose_ticks(min(one, other), max(one, other))
    assert ticks[0] <= min(one, other, 0)
    assert ticks[-1] >= max(one, other, 0)
    assert 0 in ticks
    assert 2 <= len(ticks) <= 8


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["above", "below", "within"]),
    st.floats(0.01, 0.5),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
)
def test_the_plot_has_the_interval_where_it_lies(bound, margin, values):
    low, effect, high = sorted(values)
    against = {"above": high < margin, "below": low > margin, "within": high < -margin or low > margin}[bound]
    outcome = {"effect": effect, "low": low, "high": high, "p": 0.5}
    shown = show_tests([ClaimTest(of={"sft": "FB"}, **{bound: margin})], [outcome])[0]
    left, middle, right = shown["interval"]
    claimed_left, claimed_right = shown["claimed"]
    assert left <= middle <= right
    assert 0 <= claimed_left < claimed_right <= 320
    if shown["found"] == "inside":
        assert claimed_left <= left <= right <= claimed_right
    if shown["found"] == "outside":
        assert right <= claimed_left or left >= claimed_right
    assert (shown["found"] == "outside") == against


def test_tables_are_read_from_markdown():
    assert read_rows("| a | b |\n|:--|--:|\n| - | 1.5 [1, 2] |\n\nnot a row\n") == [["a", "b"], ["-", "1.5 [1, 2]"]]


def test_the_excerpt_is_of_every_kind_and_marks_what_the_labels_say(smoke, monkeypatch):
    monkeypatch.chdir(smoke.folder)
    plan = Plan(load_params(smoke.folder / "params.yaml"))
    models = name_models([measures for measures in plan.artifacts["measures"].values() if measures.done.exists()])
    assert len(set(models.values())) == len(models)
    excerpt = draw_excerpt(models)
    assert draw_excerpt(models) == excerpt
    rows = pd.DataFrame(excerpt.rows, columns=COLUMNS)
    assert set(rows["type"]) == {"evaluation", "inversion", "composition"}
    for labels, model in models.items():
        table = pd.read_parquet(labels.folder / "generations.parquet")
        table = table[table["rl_step"] == table["rl_step"].max()]
        shown = rows[rows["model"] == model]
        composed = labels.config.task_name == "compositions"
        if composed:
            problems = pd.read_parquet(labels.inputs["test"].folder / "problems.parquet")
            compositions = list(map(load_task("compositions").from_row, problems.to_dict("records")))
        else:
            kinds = Counter(zip(table["problem_type"], table["n_steps"], table["correct"], strict=True))
            found = Counter(zip(shown["type"], shown["steps"], shown["outcome"] == "right", strict=True))
            assert found == {kind: min(n, PER_KIND) for kind, n in kinds.items()}
        for row in shown.itertuples():
            said = re.fullmatch(r"problem (\d+) of (\S+), sample (\d+), RL step \d+", row.where)
            source = table[(table["problem_id"] == int(said[1])) & (table["sample"] == int(said[3]))]
            source = source[source["problem_set"] == said[2]].iloc[0]
            assert " ".join(words for words, _ in row.parts) == " ".join(source["completion"].split())
            steps = [(words.split(), sign) for words, sign in row.parts if sign]
            if composed:
                right = respond(labels.config.task.field, compositions[source["problem_id"]]).split()
                found = [word for words, _ in steps for word in words]
                assert found == right[: len(found)]
            else:
                assert all(words[1][0] in "+-*/" for words, _ in steps)
                pairs = zip(source["step_in_order"], source["step_right"], strict=True)
                assert [sign == "✓" for _, sign in steps] == [ordered and right for ordered, right in pairs]


def test_what_was_resumed_is_said_to_count_from_there(audited, monkeypatch):
    monkeypatch.chdir(audited.folder)
    monkeypatch.setattr("selectimprove.config.loading.SCALES", audited.folder / "workflow/scales")
    plan = Plan(load_params(audited.folder / "params.yaml"))
    assert "resumed" not in write_page(plan)

    def read(path: Path) -> dict:
        return read_record(path) | {"resumed": "rl/FB-gf11-rl_6_9-" in str(path)}

    monkeypatch.setattr("selectimprove.reports.page.read_record", read)
    page = write_page(plan)
    assert page.count(" s since it was resumed, ") == len(SMOKE_SEEDS)
    assert f"{len(SMOKE_SEEDS)} were resumed, and count from there." in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser that records what pages log and ask for."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless", "no-sandbox", "disable-gpu", *QUIET):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    browser.set_window_size(1280, 900)
    yield browser
    browser.quit()


@pytest.fixture
def page(browser, audited):
    """The page, just opened."""
    browser.get("about:blank")
    browser.get(f"file://{audited.published}/audit/index.html")
    return browser


def shown(page) -> list[dict]:
    """Return the data of the generations on the page."""
    return page.execute_script(
        "return [...document.querySelectorAll('.generation')].map((card) => ({...card.dataset}))"
    )


def count_found(page) -> int:
    found = re.search(r"of (\d+) shown", page.find_element(By.ID, "found").text)
    return int(found[1]) if found else 0


@in_browser
def test_the_page_shows_every_claim_test_figure_and_cell_of_table_1(page, audited):
    claims, tests = (pd.read_csv(audited.published / f"audit/{name}.csv") for name in ("claims", "tests"))
    for verdict, n in claims["verdict"].value_counts().items():
        found = [e.text for e in page.find_elements(By.CSS_SELECTOR, ".claim .verdict") if e.text.endswith(verdict)]
        assert len(found) == n
    assert len(page.find_elements(By.CSS_SELECTOR, ".plot")) == len(tests)
    for _, claim in claims[claims["source"] == "none"].iterrows():
        card = page.find_element(By.ID, f"claim-{claim['claim']}").text
        assert "not in the paper" in card
        assert "not reported" not in card
    assert len(page.find_elements(By.CSS_SELECTOR, "#table-1 ~ div tbody tr")) == 9
    pictures = page.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert len(pictures) == len(yaml.safe_load((audited.folder / "params.yaml").read_text())["figures"]) > 0
    assert all(pictures)
    assert "not measured" in page.find_element(By.CSS_SELECTOR, "section[aria-labelledby=costs]").text


@in_browser
@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_leaves_what_matches(page, name):
    select = Select(page.find_element(By.ID, f"filter-{name}"))
    values = [option.text for option in select.options if option.text != "all"]
    every, numbers = count_found(page), []
    for value in values:
        select.select_by_visible_text(value)
        found = shown(page)
        assert {card[name] for card in found} == {value}
        numbers.append(count_found(page))
    page.find_element(By.ID, "clear").click()
    assert sum(numbers) == every == count_found(page)


@in_browser
def test_filters_narrow_together(page):
    wanted = {"type": "inversion", "outcome": "wrong", "steps": "6"}
    numbers = [count_found(page)]
    for name, value in wanted.items():
        Select(page.find_element(By.ID, f"filter-{name}")).select_by_visible_text(value)
        numbers.append(count_found(page))
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(card.items() >= wanted.items() for card in shown(page))


@in_browser
def test_a_cell_of_table_1_opens_the_generations_behind_it(page, audited):
    table = pd.read_csv(audited.published / "tables/table1.csv").set_index(["sft", "training", "problem_type"])
    cells = page.find_elements(By.CSS_SELECTOR, "#table-1 ~ div tbody tr:last-child td.ours a")
    assert len(cells) == 3
    for cell, problem_type in zip(cells, ("all", "inversion", "evaluation"), strict=True):
        cell.click()
        row = table.loc[("FB", "rl_6_9", problem_type)]
        assert cell.text == f"{100 * row['pass_at_1']:.1f}"
        found = shown(page)
        # Two evaluations of one model are told apart by their experiments.
        models = {card["model"].removesuffix(" (main)") for card in found}
        assert models == {"-".join(row["generations"].split("/")[-1].split("-")[:-1])}
        assert {card["problems"] for card in found} == {"6-9"}
        assert {card["type"] for card in found} == (
            {"inversion", "evaluation"} if problem_type == "all" else {problem_type}
        )
        assert page.find_element(By.CSS_SELECTOR, ".generation").is_displayed()


@in_browser
def test_what_the_filters_show_has_an_address(page):
    Select(page.find_element(By.ID, "filter-type")).select_by_visible_text("inversion")
    Select(page.find_element(By.ID, "filter-outcome")).select_by_visible_text("wrong")
    address, found = page.current_url, shown(page)
    page.get("about:blank")
    page.get(address)
    assert shown(page) == found
    page.find_element(By.ID, "clear").click()
    assert page.current_url.endswith("#generations")


@in_browser
def test_a_claim_leads_to_its_figures_and_its_models(page, audited):
    claim = page.find_element(By.ID, "claim-only_fb_nears_100")
    assert "table1" in [link.text for link in claim.find_elements(By.CSS_SELECTOR, "a[href^='#exhibit-']")]
    claim.find_element(By.TAG_NAME, "summary").click()
    models = claim.find_elements(By.TAG_NAME, "li")
    assert [model.text.partition(" ")[0] for model in models] == ["FB", "B", "F"]
    for model in models:
        policy, generations, _ = model.find_elements(By.TAG_NAME, "a")
        assert (audited.folder / "results/rl" / policy.text).is_dir()
        assert (audited.folder / "results/evaluation" / generations.text).is_dir()
    models[1].find_element(By.LINK_TEXT, "some of them").click()
    assert all(card["model"].startswith("B-gf11-rl_6_9") for card in shown(page))


@in_browser
def test_show_more_shows_more_and_goes_on_there(page):
    before = len(shown(page))
    page.find_element(By.ID, "more").send_keys(Keys.ENTER)
    assert len(shown(page)) > before
    assert (
        page.execute_script(
            "return [...document.querySelectorAll('.generation')].indexOf(document.activeElement.closest('.generation'))"
        )
        == before
    )


@in_browser
def test_links_resolve_and_open_what_they_name(page):
    broken = page.execute_script(
        "return [...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))"
        ".filter((target) => !target.startsWith('#') || !document.getElementById(target.slice(1).split('?')[0]))"
    )
    assert broken == []
    twice = page.execute_script("return [...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(twice) == len(set(twice))
    page.find_element(By.CSS_SELECTOR, "#exhibits ~ details summary").click()
    # Every link of the first figure's chain, and one from a generation.
    links = page.find_elements(By.CSS_SELECTOR, "#exhibits ~ details[open] a")
    links = [link.get_attribute("href").split("#")[1] for link in links][::7]
    links.append(page.find_element(By.CSS_SELECTOR, ".generation a").get_attribute("href").split("#")[1])
    for target in links:
        found = page.find_elements(By.CSS_SELECTOR, f"a[href='#{target}']")
        next(link for link in found if link.is_displayed()).click()
        assert page.find_element(By.ID, target).is_displayed()
        assert page.execute_script("return document.getElementById(arguments[0]).open", target) in (True, None)


@in_browser
def test_every_control_is_reached_by_keyboard(page):
    controls = page.execute_script(
        f'return [...document.querySelectorAll("{CONTROLS}")].filter((element) => element.checkVisibility()).length'
    )
    reached = set()
    for _ in range(controls + 60):
        webdriver.ActionChains(page).send_keys(Keys.TAB).perform()
        element = page.switch_to.active_element
        if element.tag_name != "body":
            reached.add(element.id)
        if len(reached) == controls:
            break
    assert len(reached) == controls


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(page, scheme):
    screen = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    page.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    width, room = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert width <= room == 360
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


@in_browser
def test_nothing_is_logged_and_nothing_is_asked_of_a_network(page):
    """Of all that the tests above did in this browser, too."""
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # The browser's own start page asks for parts of the browser.
    asked = {s["request"]["url"].partition(":")[0] for s in sent if not s["documentURL"].startswith("chrome:")}
    assert "file" in asked
    assert asked <= {"file", "data", "about"}
