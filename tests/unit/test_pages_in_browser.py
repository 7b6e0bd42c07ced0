"""The pages of the data steps in a real browser, framed as the dashboard shows them."""

import html
import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.inspection import Wishes
from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.images import DATA
from shipway.components.split.logic import Request as SplitRequest
from shipway.components.split.logic import split
from tests.chromium import NAMES, Chromium, installed

pytestmark = pytest.mark.slow

PAGES = ("datasheet", "statistics", "split")
ROWS = 200
COLUMNS = int(os.environ.get("SHIPWAY_TEST_COLUMNS", "200"))

PAPER, DARK = "getComputedStyle(document.documentElement).backgroundColor", "'rgb(20, 23, 27)'"

# Nothing may be fetched, and nothing may go wrong: both are told to the page around the frame.
WATCH = """<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<script>
const wrong = [];
addEventListener("error", event => wrong.push(event.message || "an element failed to load"), true);
addEventListener("unhandledrejection", event => wrong.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", event => wrong.push(event.blockedURI));
for (const name of ["error", "warn"]) console[name] = (...said) => wrong.push(said.join(" "));
</script>"""
ASK = """<script>addEventListener("load", () => {
  const found = {wrong, origin, tables: [], headings: document.querySelectorAll("h2").length};
  found.width = document.documentElement.scrollWidth - innerWidth;
  found.dark = PAPER === DARK;
  for (const table of document.querySelectorAll("table")) {
    const texts = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
    const head = table.tHead.rows[0].cells[0], before = texts();
    head.firstChild.click(); const up = texts();
    head.firstChild.click(); const down = texts();
    const moved = up.join() !== down.join() || new Set(before).size < 2;
    const same = [...before].sort().join() === [...up].sort().join();
    found.tables.push({rows: before.length, moved, same});
  }
  const field = document.querySelector("input");
  if (field) {
    field.value = "zzz"; field.dispatchEvent(new Event("input"));
    found.left = field.nextElementSibling.querySelectorAll("tbody tr:not([hidden])").length;
  }
  const cells = [...document.querySelectorAll("td")];
  found.tallest = Math.max(...cells.map(cell => cell.offsetHeight));
  parent.postMessage(found, "*");
});</script>""".replace("PAPER", PAPER).replace("DARK", DARK)
AROUND = """<!doctype html><meta charset="utf-8"><body><script>
addEventListener("message", event =>
  fetch("/found", {{method: "POST", body: JSON.stringify(event.data)}}));
</script><iframe sandbox="allow-scripts" width="1200" height="900" srcdoc="{}"></iframe>"""

STATISTICS = """
import sys
from pathlib import Path
from shipway.components.validate.logic import Outputs, Settings, validate
out = Path(sys.argv[2])
files = [out / name for name in ("statistics.pb", "schema.pbtxt", "data.json", "statistics.html")]
validate(Path(sys.argv[1]), "y", Outputs(*files), Settings(slice_columns=["town"]))
# What is handed on of a private column are counts.
from tensorflow_metadata.proto.v0 import statistics_pb2
found = statistics_pb2.DatasetFeatureStatisticsList.FromString(files[0].read_bytes())
assert [d.name for d in found.datasets[1:]] == ["town=private (1)", "town=private (2)"]
town = next(f for f in found.datasets[0].features if f.path.step[0] == "town")
assert town.string_stats.unique == 2 and town.string_stats.common_stats.num_non_missing > 0
assert not town.string_stats.top_values and town.custom_stats[0].name == "private"
# A schema that the private column 'town' does not fit.
given = out / "given.pbtxt"
town = 'name: "town"'
text = files[1].read_text()
assert town in text and "Bern" not in text
given.write_text(text.replace(town, town + ' string_domain { value: "Ulm" }'))
files = [out / name for name in ("h.pb", "h.pbtxt", "held.json", "held.html")]
validate(Path(sys.argv[1]), "y", Outputs(*files), Settings(str(given)))
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = installed()
    if found is None:
        pytest.skip(f"no browser is installed: {', '.join(NAMES)}")
    return found


def hard_table() -> pa.Table:
    """Very many columns; names that run right to left, are very long, or look like markup."""
    draw = random.Random(0)
    names = ["\u05e9\u05dd \u05d4\u05dc\u05e7\u05d5\u05d7", "\u0627\u0633\u0645", "long_name_" * 30]
    names += ["\u540d\u524d" * 60, "</script><b>", "\u202ereversed", "spaces and 'quotes' \"too\""]
    texts = [
        "\u05e2\u05e8\u05da \u05d0\u05e8\u05d5\u05da",
        "\u0642\u064a\u0645\u0629",
        "word " * 40,
    ]
    columns: dict[str, list[Any]] = {name: draw.choices(texts, k=ROWS) for name in names}
    columns["town"] = draw.choices(["Ulm", "Bern"], k=ROWS)
    columns["mail"] = [f"person{i}@example.org" for i in range(ROWS)]
    columns |= {f"c{i}": [draw.random() * 10**9 for _ in range(ROWS)] for i in range(COLUMNS)}
    columns["y"] = [i % 2 for i in range(ROWS)]
    return pa.table(columns)


@pytest.fixture(scope="module")
def pages(
    browser: str, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    from shipway.pipelines.environments import prepare

    folder = tmp_path_factory.mktemp("pages")
    pq.write_table(hard_table(), folder / "t.parquet")
    about = {"purpose": "to know", "\u05d1\u05e2\u05dc\u05d9\u05dd": "\u05e9\u05dc\u05d9"}
    request = Request(
        str(folder / "t.parquet"), "y", about_data=about,
        wishes=Wishes({"c1": "bucket:1000000", "town": "keep"}, quasi_identifiers=["c1"]),
    )  # fmt: skip
    ingest(request, folder / "dataset", folder / "datasheet.html")
    parts = {name: folder / name for name in ("train", "validation", "test")}
    split(folder / "dataset", SplitRequest("y"), parts, folder / "s.json", folder / "split.html")
    python = prepare([DATA], repository / ".shipway", lambda _: None)[DATA] / "bin" / "python"
    arguments = ["-c", STATISTICS, str(folder / "dataset"), str(folder)]
    subprocess.run([python, *arguments], check=True, capture_output=True, timeout=300)
    return {name: folder / f"{name}.html" for name in (*PAGES, "held")}


class Around(ThreadingHTTPServer):
    """Serves the page around the frame, and takes what the frame tells."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page, self.found = "", Queue[dict[str, Any]]()


class Handler(BaseHTTPRequestHandler):
    server: Around

    def do_GET(self) -> None:
        self.answer(self.server.page.encode())

    def do_POST(self) -> None:
        self.server.found.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


Look = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def look(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    server = Around()
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def look(page: str) -> dict[str, Any]:
        """What a page tells of itself, shown in a frame that allows scripts and nothing else."""
        watched = page.replace("<head>", f"<head>{WATCH}", 1) + ASK
        server.page = AROUND.format(html.escape(watched))
        # A browser that still ends would take the page over to where its profile is.
        profile = tmp_path_factory.mktemp("browser")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-proxy-server", "--window-size=1300,1000", f"--user-data-dir={profile}",
            "--remote-debugging-port=0", f"http://127.0.0.1:{server.server_port}/",
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as shown:
            try:
                return server.found.get(timeout=120)
            finally:
                os.killpg(shown.pid, signal.SIGTERM)

    yield look
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_in_a_sandboxed_frame_without_network(
    pages: dict[str, Path], look: Look, name: str
) -> None:
    page = pages[name].read_text()
    assert len(page) < 1_000_000
    assert "@example.org" not in page
    found = look(page)
    assert found["wrong"] == []
    assert found["origin"] == "null"  # so the frame is sandboxed
    assert found["tables"] and found["headings"] >= 2
    assert all(one["moved"] and one["same"] for one in found["tables"])
    assert found.get("left", 0) == 0
    assert found["width"] <= 0  # long names widen no page
    assert found["tallest"] < 400
    assert not found["dark"]


def test_anomalies_of_a_private_column_show_no_value(pages: dict[str, Path]) -> None:
    decision = json.loads(pages["held"].with_suffix(".json").read_text())
    found = [one for one in decision["rules"] if "unexpected_string" in one["name"]]
    assert [one["slice"] for one in found] == ["column town"]
    assert 0 < found[0]["value"] < ROWS
    assert "Bern" not in json.dumps(decision) + pages["held"].read_text()


def test_statistics_that_are_handed_on_hold_no_private_value(pages: dict[str, Path]) -> None:
    handed_on = pages["held"].with_name("statistics.pb").read_bytes()
    assert b"Bern" not in handed_on and b"Ulm" not in handed_on and b"example.org" not in handed_on
    assert b"word word" in handed_on  # other columns are told


def test_a_page_is_dark_where_the_reader_wants_it(
    pages: dict[str, Path], browser: str, tmp_path: Path
) -> None:
    # By the protocol: what the command line asks for may come too late for a frame.
    with closing(Chromium(browser, tmp_path / "profile")) as tab:
        for name in PAGES:
            tab.show(pages[name], dark=True)
            assert tab.run(f"{PAPER} === {DARK}"), name


def test_the_watch_sees_what_is_fetched_and_what_fails(look: Look) -> None:
    page = "<!doctype html><html><head></head><body><table><thead><tr><th><button>a</button></th>"
    page += "</tr></thead><tbody><tr><td>1</table><img src='http://127.0.0.1:9/x.png'>"
    wrong = look(page + "<script>missing()</script>")["wrong"]
    assert any("127.0.0.1" in one for one in wrong)
    assert any("missing" in one for one in wrong)
