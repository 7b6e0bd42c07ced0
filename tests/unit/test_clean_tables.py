"""The gate of leaks stops none of the real tables, split by hash, and tells a true leak in one."""

from pathlib import Path

import pytest

from shipway.components.ingest.logic import Request as Source
from shipway.components.ingest.logic import ingest
from shipway.components.lib.decision import Decision
from shipway.components.split.assignment import NAMES
from shipway.components.split.logic import Request, split

AFTER_DEPARTURE = ["dep_time", "dep_delay", "arr_time", "air_time", "arr_delay"]
TABLES = {
    "chicago-taxi/chicago_taxi.csv": ("big_tipper", ["tips"]),
    "diamonds/diamonds.csv": ("price", []),
    "nyc-flights/flights.parquet": ("late", AFTER_DEPARTURE),
    "penguins/penguins.csv": ("species", []),
    "telco-churn/telco_churn.csv": ("Churn", []),
}


def judged(table: Path, label: str, excluded: list[str], folder: Path) -> Decision:
    ingest(Source(str(table), label, excluded), folder / "table", folder / "datasheet.html")
    paths = {name: folder / name for name in NAMES}
    request = Request(label, strategy="hash")
    split(folder / "table", request, paths, folder / "decision", folder / "page.html")
    return Decision.load(folder / "decision")


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_clean_table_is_not_stopped(name: str, shared_data: Path, tmp_path: Path) -> None:
    decision = judged(shared_data / name, *TABLES[name], tmp_path)
    assert decision.failures == []


@pytest.mark.slow
def test_tips_give_the_label_of_the_taxis_away(shared_data: Path, tmp_path: Path) -> None:
    name = "chicago-taxi/chicago_taxi.csv"
    decision = judged(shared_data / name, "big_tipper", [], tmp_path)
    assert {rule.slice for rule in decision.failures} >= {"tips"}
