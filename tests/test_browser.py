"""Pages as a reader uses them, in a browser: tables sort, figures are given away and grow, values show,
every link leads somewhere, paper holds every column, and nothing is asked of any network."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from sgdtheory.report.compared import compare
from sgdtheory.report.page import draw
from tests.test_report import make_run, row

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.pictures]

QUIET = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
OTHERS = {f"a_long_name_of_column_{k}": 0.25 * k for k in range(9)}  # wider than paper
PATIENCE = 20.0  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "given")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    driver.set_window_size(1000, 900)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    rows = [row(str(k), train_loss=0.001 * (7 * k % 5), **OTHERS) for k in range(5)]
    path = make_run(folder / "runs" / "train" / "net-0", rows)
    draw(path)
    return path


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether something comes true before patience ends."""
    end = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)
    return is_so()


def column(browser: Any, table: str, k: int) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((row) => row.cells[arguments[1]].innerText)"
    found: list[str] = browser.execute_script(script, f"{table} tbody tr", k)
    return found


def test_a_table_sorts_and_its_columns_are_chosen(browser: Any, run: Path) -> None:
    browser.get((run / "report.html").as_uri())
    heading = browser.find_element("css selector", "table.numbers th:nth-child(2)")
    assert heading.text == "train loss"
    heading.click()
    order = column(browser, "table.numbers", 0)
    assert order == ["0", "3", "1", "4", "2"]  # 7k mod 5 = 0, 2, 4, 1, 3
    heading.click()
    assert column(browser, "table.numbers", 0) == order[::-1]
    browser.find_element("css selector", ".columns summary").click()
    browser.find_element("css selector", ".columns input").click()
    assert not heading.is_displayed()


def test_a_figure_is_given_away_and_grows(browser: Any, run: Path, folder: Path) -> None:
    browser.get((run / "report.html").as_uri())
    for kind in ("svg", "pdf"):
        given = folder / "given" / f"minima.{kind}"
        browser.find_element("css selector", f"a[download='minima.{kind}']").click()
        assert soon(given.exists)
        assert given.read_bytes() == (run / "figures" / f"minima.{kind}").read_bytes()
    figure = browser.find_element("id", "minima")
    before = figure.find_element("tag name", "svg").size["width"]
    figure.find_element("class name", "grow").click()
    assert figure.find_element("tag name", "svg").size["width"] > 1.2 * before


def test_values_are_read_off_a_picture(browser: Any, run: Path) -> None:
    from selenium.webdriver import ActionChains

    browser.get((run / "report.html").as_uri())
    marks = browser.find_elements("css selector", "#minima [id*=line2d] use")
    axis = "return arguments[0].closest('[id*=axis]') !== null"
    inside = [mark for mark in marks if not browser.execute_script(axis, mark)]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", inside[2])
    ActionChains(browser).move_to_element(inside[2]).perform()
    told = browser.find_element("id", "tip").text
    assert "loss: 0.004" in told and "minimum: 2" in told


@pytest.mark.parametrize("which", ["one", "several"])
def test_every_link_leads_somewhere(which: str, browser: Any, run: Path, folder: Path) -> None:
    page = run / "report.html"
    if which == "several":
        others = [make_run(folder / f"runs/train/net-{k}", [row("0")], seed=k) for k in (1, 2)]
        page = compare([run, *others], None)
    browser.get(page.as_uri())
    links = {a.get_attribute("href") for a in browser.find_elements("css selector", "a[href]")}
    local = sorted(link for link in links if link.startswith("file:"))
    assert len(local) >= 4
    for link in local:
        parts = urlsplit(link)
        target = Path(unquote(parts.path))
        assert target.is_file(), link
        given = folder / "given" / target.name
        given.unlink(missing_ok=True)
        browser.get(page.as_uri())
        browser.execute_script(
            "[...document.querySelectorAll('a')].find((a) => a.href === arguments[0]).click()", link
        )
        assert soon(lambda: browser.current_url == link or given.exists()), link  # noqa: B023
        if parts.fragment:
            assert browser.find_element("id", unquote(parts.fragment))
    assert all(link.startswith(("file:", "data:", "https://arxiv.org/")) for link in links)


def test_paper_holds_every_column(browser: Any, run: Path, folder: Path) -> None:
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("poppler's pdftotext is not here")
    browser.get((run / "report.html").as_uri())
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    (folder / "page.pdf").write_bytes(base64.b64decode(printed["data"]))
    text = subprocess.run([reader, folder / "page.pdf", "-"], capture_output=True, check=True)
    words = " ".join(text.stdout.decode().split())
    for k in range(9):
        assert f"a long name of column {k}" in words
    assert not browser.find_elements("class name", "part")  # the screen is as it was


def test_a_wide_table_says_that_it_scrolls(browser: Any, run: Path) -> None:
    """By a shadow that stands still, below paper that moves along; paper itself has none. The page
    does not scroll sideways whatever its table does."""
    said = "return getComputedStyle(document.querySelector('.data'))[arguments[0]]"
    beyond = "const r = document.documentElement; return r.scrollWidth - r.clientWidth"
    browser.get((run / "report.html").as_uri())
    for width in (500, 820, 1000):
        browser.set_window_size(width, 900)
        table = browser.find_element("css selector", ".data")
        assert (
            browser.execute_script("return arguments[0].scrollWidth", table) > table.size["width"]
        )
        assert browser.execute_script(beyond) == 0
    attached = browser.execute_script(said, "backgroundAttachment")
    assert attached == "local, local, scroll, scroll"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script(said, "backgroundImage") == "none"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_nothing_is_asked_of_a_network(browser: Any, run: Path) -> None:
    browser.get_log("performance")
    browser.get((run / "report.html").as_uri())
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)
