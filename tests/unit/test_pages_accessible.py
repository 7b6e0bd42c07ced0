"""The pages for everybody: axe-core finds nothing serious, keys sort, and paper takes two sheets.

SHIPWAY_TEST_REPORTS names the reports of a run, to open each of its pages as well.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.components.explain.logic import explain
from shipway.components.features.logic import fit
from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.tables import write_table
from shipway.components.model_card.logic import write_card
from shipway.components.monitor.logic import Request as DriftRequest
from shipway.components.monitor.logic import detect
from shipway.components.split.logic import Request as SplitRequest
from shipway.components.split.logic import split
from tests.chromium import Chromium, installed
from tests.models import build, evaluated, judged, table, train_of

pytestmark = pytest.mark.slow

AXE = "4.11.0"
AXE_SHA256 = "e9e5863c33a874f09bc01acd9234b7e3c871479f5eef8802fa582544465e6d01"
ASK = """axe.run({resultTypes: ["violations"]}).then(found => found.violations
  .filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => one.id + ": " + one.nodes.map(node => node.html.slice(0, 120)).join(" | ")))"""
NAMES = ("datasheet", "split", "features", "evaluation", "page", "explanation", "card", "drift")
GATES = "rules:\n  - {metric: auc, at_least: 0.99}\n"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = installed()
    if program is None:
        pytest.skip("no browser is installed")
    shown = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which is fetched and not kept: its licence is another."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("npm, which fetches axe-core, is not installed")
    command = [npm, "pack", f"axe-core@{AXE}", "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=folder)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"axe-core cannot be fetched: {error}")
    with tarfile.open(folder / f"axe-core-{AXE}.tgz") as packed:
        member = packed.extractfile("package/axe.min.js")
        assert member is not None
        source = member.read()
    assert hashlib.sha256(source).hexdigest() == AXE_SHA256
    return source.decode()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a small run whose gate rejects, and of one that is given."""
    folder = tmp_path_factory.mktemp("pages")
    write_table(table(), folder / "source")
    uri = str(folder / "source" / "*.parquet")
    ingest(Request(uri, "label"), folder / "dataset", folder / "datasheet.html")
    parts = {name: folder / name for name in ("train", "validation", "held")}
    parts = dict(zip(("train", "validation", "test"), parts.values(), strict=True))
    split(
        folder / "dataset", SplitRequest("label"), parts, folder / "s.json", folder / "split.html"
    )
    fit(parts["train"], "label", folder / "plan.json", folder / "features.html")
    model = build(folder / "model", table(seed=1), golden=5)
    evaluated(model, folder, protected=["city"])
    judged(model, folder, folder, gates_uri=GATES)
    explain(model, folder / "test", folder / "explanation.json", folder / "explanation.html")
    files = {name: folder / f"{name}.json" for name in ("evaluation", "explanation", "decision")}
    for gate in ("data", "leakage"):
        files[f"{gate}_decision"] = folder / gate
        Decision(gate, "table", [Rule("rows", "pass", "Enough.")]).save(folder / gate)
    places = {"card": "card.json", "report": "card.html", "markdown": "card.md"}
    write_card(model, files, {}, **{name: folder / file for name, file in places.items()})
    detect(
        train_of(model), folder / "test", DriftRequest(), folder / "d.json", folder / "drift.html"
    )
    return folder


def opened(pages: Path) -> list[Path]:
    given = os.environ.get("SHIPWAY_TEST_REPORTS")
    return [pages / f"{name}.html" for name in NAMES] + (
        sorted(Path(given).glob("*.html")) if given else []
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(pages: Path, browser: Chromium, axe: str, dark: bool) -> None:
    found = {}
    for page in opened(pages):
        browser.show(page, dark=dark)
        browser.run(axe + ";0")
        found[page.stem] = browser.run(ASK)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_axe_sees_what_is_wrong(pages: Path, browser: Chromium, axe: str, tmp_path: Path) -> None:
    page = (pages / "page.html").read_text()
    bad = page.replace("--soft:#5d6672", "--soft:#d0d0d0").replace(' lang="en"', "")
    (tmp_path / "bad.html").write_text(bad)
    browser.show(tmp_path / "bad.html")
    browser.run(axe + ";0")
    assert {line.split(":")[0] for line in browser.run(ASK)} == {"color-contrast", "html-has-lang"}


def test_pages_print_to_two_sheets(pages: Path, browser: Chromium) -> None:
    sheets = {}
    for page in opened(pages):
        browser.show(page)
        paper = base64.b64decode(browser.paper())
        sheets[page.stem] = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert {name: count for name, count in sheets.items() if not 1 <= count <= 2} == {}


def test_the_first_screen_says_whether_it_ships_and_why_not(pages: Path, browser: Chromium) -> None:
    for name in ("page", "card"):
        browser.show(pages / f"{name}.html")
        told = browser.run("""[...document.querySelectorAll(".chip, .lead, .why li")]
          .filter(one => one.getBoundingClientRect().bottom < 900).map(one => one.textContent)""")
        assert "rejected" in told[0] and re.search("breaks 1 of", told[1])
        assert "auc is" in told[2] and "not >= 0.99" in told[2]


def test_tables_are_sorted_by_key(pages: Path, browser: Chromium) -> None:
    browser.show(pages / "evaluation.html")
    browser.run('document.querySelectorAll("th button")[1].focus()')
    values = """[...document.querySelector("tbody").rows].map(row => +row.cells[1].textContent)"""
    for down in (False, True):
        browser.press("Enter", 13, "\r")
        found = browser.run(values)
        assert len(found) > 5 and found == sorted(found, reverse=down)
    assert browser.run('document.querySelectorAll("th")[1].ariaSort') == "descending"


@pytest.mark.parametrize("width", [1280, 420])
def test_no_page_is_wider_than_the_screen_and_every_chart_has_its_numbers(
    pages: Path, browser: Chromium, width: int
) -> None:
    for page in opened(pages):
        browser.show(page, width=width)
        assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0, page
        rows = browser.run("""[...document.querySelectorAll("figure")]
          .map(one => one.querySelectorAll("details tbody tr").length)""")
        assert all(rows), page
        assert page.stat().st_size < 1_000_000
