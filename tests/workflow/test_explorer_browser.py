"""The explorer in a real browser: it opens without a network, and what is chosen is shown."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from helpers.browser import browser, have_chromium
from helpers.study_tables import runs, study_tables
from strata.explorer.page import Shown, explorer_page
from strata.explorer.tables import read_table

SEEDS = [1, 2]
WIDE, NARROW = 1400, 390


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    have_chromium(tmp_path_factory)
    with browser(WIDE) as driver:
        yield driver


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    have_chromium(tmp_path_factory)
    with browser(NARROW, dark=True) as driver:
        yield driver


def opened(driver, path: Path):
    """The page, once all is drawn, after which nothing was asked of a network or complained of."""
    driver.get_log("browser"), driver.get_log("performance")
    driver.get(path.as_uri())
    WebDriverWait(driver, 60).until(
        lambda d: d.execute_script("return document.body.dataset.ready")
    )
    events = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert driver.get_log("browser") == []
    return driver


def written(folder: Path, tables: dict, failed=()) -> Path:
    """The page of tables that no study made."""
    names = tables["truncation"][["model", "task"]].drop_duplicates()
    pairs = list(names.itertuples(index=False, name=None))
    models, tasks = ({pair[place]: None for pair in pairs} for place in (0, 1))
    shown = Shown("results/mine", pairs, {}, "raw", "debiased", 0.01)
    path = folder / "explorer.html"
    about = runs(models, tasks, SEEDS, failed)
    path.write_text(explorer_page(tables, about, [], shown), encoding="utf-8")
    return path


def drawn(driver) -> int:
    """How often the page has drawn all that was chosen."""
    return int(driver.execute_script("return document.body.dataset.drawn"))


def choose(driver, name: str, value: str) -> None:
    select, before = Select(driver.find_element(By.ID, name)), drawn(driver)
    if select.first_selected_option.get_attribute("value") == value:
        return
    select.select_by_value(value)
    until(driver, lambda: drawn(driver) > before)


def slide(driver, depth: int) -> None:
    """Move the slider by its keys, as somebody without a pointer would."""
    slider = driver.find_element(By.ID, "depth")
    slider.send_keys(Keys.HOME)
    for _ in range(depth - 1):
        before = drawn(driver)
        slider.send_keys(Keys.ARROW_RIGHT)
        until(driver, lambda before=before: drawn(driver) > before)
    assert slider.get_attribute("value") == str(depth)


def until(driver, holds) -> None:
    WebDriverWait(driver, 20).until(lambda _: holds())


def readout(driver) -> dict[str, str]:
    rows = driver.find_elements(By.CSS_SELECTOR, "#readout > div")
    return {
        row.find_element(By.TAG_NAME, "dt").text: row.find_element(By.TAG_NAME, "dd").text
        for row in rows
    }


def shown_table(driver, chart: str) -> pd.DataFrame:
    """What stands behind a chart's disclosure, opened by its keys."""
    details = driver.find_element(By.CSS_SELECTOR, f"#{chart} details")
    if details.get_attribute("open") is None:
        details.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
        until(driver, lambda: details.find_elements(By.TAG_NAME, "td"))
    rows = driver.execute_script(
        "const cells = (row) => [...row.cells].map((cell) => cell.textContent);"
        "return [...arguments[0].querySelectorAll('tr')].map(cells)",
        details,
    )
    return pd.DataFrame(rows[1:], columns=rows[0])


def tooltip(driver, element) -> dict[str, str]:
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(driver).move_to_element(element).perform()
    until(driver, lambda: driver.find_elements(By.CSS_SELECTOR, ".vg-tooltip.visible tr"))
    rows = driver.find_elements(By.CSS_SELECTOR, ".vg-tooltip.visible tr")
    cells = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
    return {key.rstrip(":"): value for key, value in cells}


def marks(driver, chart: str, kind: str) -> list:
    return driver.find_elements(By.CSS_SELECTOR, f"#{chart} .mark-{kind} path")


def colors_of_symbols(driver) -> set[str]:
    """What symbols are drawn with, in charts and in their legends."""
    return set(
        driver.execute_script(
            "return [...document.querySelectorAll('[class*=symbol] path')].flatMap((path) => {"
            "  const { fill, stroke } = getComputedStyle(path); return [fill, stroke]; })"
        )
    )


@pytest.fixture(scope="module")
def finished(study, wide):
    """The page of the study that Snakemake made."""
    return opened(wide, study.folder / "results/tiny/explorer.html")


def test_numbers_are_the_tables(study, finished):
    choose(finished, "model", "roberta")
    choose(finished, "task", "entail")
    table = pd.read_csv(study.folder / "results/tiny/truncation/roberta_entail.csv")
    for seed, depth in ((1, 2), (2, 3)):
        choose(finished, "seed", str(seed))
        slide(finished, depth)
        of = table[(table["seed"] == seed) & (table["depth"] == depth)].set_index("configuration")
        for words, name in (("Untuned", "untuned"), ("Tuned-Orig", "tuned-orig")):
            value, low, high = of.loc[name, ["value", "low", "high"]]
            examples = f"{of.loc[name, 'n_examples']:,.0f} examples"
            expected = f"{value:.3f} [{low:.3f}, {high:.3f}], {examples}"
            assert readout(finished)[words] == expected


def test_a_chart_has_its_table(study, finished):
    choose(finished, "model", "albert")
    choose(finished, "task", "endings")
    choose(finished, "seed", "2")
    table = pd.read_csv(study.folder / "results/tiny/skipping/albert_endings.csv")
    own = table[table["seed"] == 2].reset_index(drop=True)
    found = shown_table(finished, "skipping")
    np.testing.assert_allclose(found["value"].astype(float), own["value"], rtol=1e-3)
    assert found["left"].tolist()[0] == "layers 2-5"


def test_hovering_says_value_error_and_examples(study, finished):
    choose(finished, "model", "roberta")
    choose(finished, "task", "entail")
    choose(finished, "seed", "1")
    choose(finished, "estimator", "biased")
    table = pd.read_csv(study.folder / "results/tiny/cka/roberta_entail.csv")
    said = tooltip(finished, marks(finished, "cka-ft-ft", "rect")[1])
    own = table.query(
        "y_state == 'full-seed1' and x_state == 'full-seed1' and estimator == 'biased' and "
        f"pooling == 'raw' and y_depth == {said['depth on Y, fine-tuned']} and "
        f"x_depth == {said['depth on X, fine-tuned']}"
    ).iloc[0]
    assert said["CKA"] == f"{own['cka']:.3f}" and said["standard error"] == f"{own['se']:.3f}"
    assert said["examples"] == str(own["n_examples"])


def test_the_slider_moves_through_maps_and_curves(finished):
    choose(finished, "model", "roberta")

    def places(depth: int) -> list[str]:
        slide(finished, depth)
        paths = [
            *finished.find_elements(By.CSS_SELECTOR, "#cka-ft-ft path[stroke='#D55E00']"),
            *finished.find_elements(
                By.CSS_SELECTOR, "#truncation .mark-rule line[stroke-width='2']"
            ),
        ]
        names = ("d", "transform", "y2")
        return [" ".join(str(each.get_attribute(name)) for name in names) for each in paths]

    first, second = places(1), places(3)
    assert len(first) == len(second) == 3
    assert all(a != b for a, b in zip(first, second, strict=True))
    assert finished.find_element(By.ID, "depth-value").text == "3 of 4"


def test_a_cell_that_is_clicked_chooses_its_depth(finished):
    slide(finished, 1)
    # Cells are drawn in the table's order: the last one is depth L by depth L.
    last = marks(finished, "cka-ft-ft", "rect")[15]
    finished.execute_script("arguments[0].scrollIntoView({block: 'center'})", last)
    last.click()
    until(finished, lambda: finished.find_element(By.ID, "depth-value").text == "4 of 4")


def test_a_model_without_an_analysis_says_so(finished):
    choose(finished, "model", "electra")  # whose spans are not skipped in this study
    until(finished, lambda: not finished.find_element(By.ID, "skipping").is_displayed())
    parts = finished.find_elements(By.CSS_SELECTOR, "#charts > section")
    told = {
        part.find_element(By.TAG_NAME, "h2").text: part.find_element(
            By.CLASS_NAME, "absent"
        ).is_displayed()
        for part in parts
    }
    assert told["Skipping spans of layers"] and not told["CKA"] and not told["Truncation"]


def test_a_candidate_says_what_exports_it(wide, tmp_path):
    page = opened(wide, written(tmp_path, study_tables(["mpnet"], ["mrpc"], SEEDS, 6)))
    points = marks(page, "frontier-latency_ms", "symbol")
    said = tooltip(page, points[0])
    assert said["export with"] == f"snakemake results/mine/export/mpnet_mrpc/layers{said['layers']}"
    points[0].click()
    kept = page.find_element(By.CSS_SELECTOR, "#frontier-latency_ms .kept")
    until(page, lambda: said["export with"] in kept.text)


def test_every_control_is_reached_by_the_keyboard(wide, tmp_path):
    page = opened(wide, written(tmp_path, study_tables(["a", "b"], ["s", "t"], SEEDS, 4)))
    reached, body = [], page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.HOME)
    for _ in range(40):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.append(
            page.execute_script(
                "return document.activeElement.id || document.activeElement.tagName"
            )
        )
    assert {"model", "task", "seed", "estimator", "depth", "SUMMARY"} <= set(reached)


@pytest.mark.parametrize("models", [["a"], ["a", "b", "c"]], ids=["1 pair", "36 pairs"])
def test_a_narrow_dark_page_of_any_study_is_readable(narrow, tmp_path, models):
    tasks = ["t"] if len(models) == 1 else [f"t{number}" for number in range(12)]
    tables = study_tables(models, tasks, SEEDS, 24)
    failed = [(models[0], tasks[0], 2)]
    page = opened(narrow, written(tmp_path, tables, failed))
    assert "does not beat the baseline" in page.find_element(By.CLASS_NAME, "failed").text
    # Nothing is wider than the page, but what scrolls by itself.
    assert page.execute_script("return document.documentElement.scrollWidth") <= NARROW
    style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    ink, paper = page.execute_script(style)
    assert sum(map(int, ink[4:-1].split(","))) > sum(map(int, paper[4:-1].split(",")))
    assert not {"rgb(0, 0, 0)", paper} & colors_of_symbols(page)
    names = [option.text for option in Select(page.find_element(By.ID, "task")).options]
    assert names == tasks
    choose(page, "model", models[-1])
    choose(page, "task", tasks[-1])
    slide(page, 5)
    own = (
        tables["truncation"]
        .query(f"model == '{models[-1]}' and task == '{tasks[-1]}' and seed == 1 and depth == 5")
        .set_index("configuration")
    )
    assert readout(page)["Untuned"].startswith(f"{own.loc['untuned', 'value']:.3f}")


def test_a_failed_run_is_named_where_it_is_chosen(wide, tmp_path):
    tables = study_tables(["a"], ["s", "t"], SEEDS, 3)
    page = opened(wide, written(tmp_path, tables, [("a", "t", 2)]))
    banner = page.find_element(By.ID, "failed")
    choose(page, "seed", "2")
    assert not banner.is_displayed()
    choose(page, "task", "t")
    names = [option.text for option in Select(page.find_element(By.ID, "seed")).options]
    assert names == ["1", "2 (failed)"] and banner.is_displayed()
    choose(page, "seed", "1")
    assert not banner.is_displayed()


def test_the_profiles_table_follows_the_slider(wide, tmp_path):
    page = opened(wide, written(tmp_path, study_tables(["a"], ["t"], SEEDS, 3)))
    slide(page, 1)
    assert set(shown_table(page, "profile")["y_depth"]) == {"1"}
    slide(page, 2)
    assert set(shown_table(page, "profile")["y_depth"]) == {"2"}


def test_tables_that_no_study_made_look_like_those_that_one_made(study, companions, today):
    """Otherwise the pages above would show what no study has."""
    tiny, later = study.folder / "results/tiny", companions.folder / "results/companions"
    files = {
        "cka": tiny / "cka/roberta_entail.csv",
        "blocks": tiny / "cka/roberta_entail.blocks.csv",
        "truncation": tiny / "truncation/roberta_entail.csv",
        "calibration": tiny / "truncation/roberta_entail.calibration.csv",
        "controls": tiny / "controls/roberta_entail.csv",
        "verdicts": tiny / "summary/roberta_entail.verdicts.csv",
        "skipping": tiny / "skipping/roberta_entail.csv",
        "variability": later / "variability/roberta_entail/nu.csv",
        "frontier": next(today.folder.glob("results/*/frontier/*_*.csv")),
    }
    made = study_tables(["roberta"], ["entail"], SEEDS, 4)
    assert set(files) == set(made)
    for name, path in files.items():
        real = read_table(name, [str(path)])
        assert set(made[name]) <= set(real), name
        for column in made[name]:
            numbers = [pd.api.types.is_numeric_dtype(t[column]) for t in (real, made[name])]
            assert numbers[0] == numbers[1] or real[column].isna().all(), (name, column)


def test_a_study_without_most_analyses_opens(wide, tmp_path):
    tables = {"truncation": study_tables(["a"], ["t"], SEEDS, 3)["truncation"]}
    page = opened(wide, written(tmp_path, tables))
    assert len(page.find_elements(By.CSS_SELECTOR, "#charts figure")) == 1
