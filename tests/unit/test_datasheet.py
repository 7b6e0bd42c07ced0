import html
import json
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.inspection import Wishes
from shipway.components.ingest.logic import Request, ingest
from shipway.components.ingest.summaries import Sample
from shipway.components.lib.tables import read_table

ATTACK = "</script><script>alert(1)</script><!--"


def written(folder: Path, table: pa.Table, **more: Any) -> tuple[dict[str, Any], str]:
    """The datasheet of a table, as JSON and as page."""
    pq.write_table(table, folder / "t.parquet")
    request = Request(str(folder / "t.parquet"), "y", **more)
    ingest(request, folder / "dataset", folder / "page.html")
    sheet = json.loads((folder / "dataset" / "_datasheet.json").read_text())
    return sheet, (folder / "page.html").read_text()


def embedded(page: str) -> dict[str, Any]:
    block = re.search(r'<script type="application/json" id="datasheet">(.*?)</script>', page, re.S)
    assert block
    sheet: dict[str, Any] = json.loads(block[1])
    return sheet


def shown(page: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", page))


def table(rows: int = 40, **more: Any) -> pa.Table:
    columns = {
        "fare": [1.5 * i for i in range(rows - 1)] + [None],
        "town": ["Ulm"] * (rows - 10) + ["Bern"] * 10,
        "y": [i % 2 for i in range(rows)],
    }
    return pa.table({**columns, **more})


def test_the_sheet_and_the_page_tell_the_same(tmp_path: Path) -> None:
    sheet, page = written(tmp_path, table())
    assert embedded(page) == sheet
    assert sheet["rows"] == {"read": 40, "dropped": {}, "kept": 40}
    fare, town, _ = sheet["columns"]
    assert (fare["minimum"], fare["mean"], fare["maximum"]) == (0.0, 28.5, 57.0)
    assert (fare["missing"], fare["missing_share"]) == (1, 0.025)
    assert town["top"] == [{"value": "Ulm", "share": 0.75}, {"value": "Bern", "share": 0.25}]
    assert "Ulm (75.0%), Bern (25.0%)" in shown(page)
    assert sheet["collection"]["objects"][0]["generation"]
    assert read_table(tmp_path / "dataset").num_rows == 40  # the JSON beside it is passed over


def test_what_an_owner_says_stands_under_its_heading_and_what_lacks_is_named(
    tmp_path: Path,
) -> None:
    about = {"purpose": "to know", "retention": "two years", "limits": "one town", "steward": "Eve"}
    sheet, page = written(tmp_path, table(), about_data=about)
    assert sheet["motivation"] == {"purpose": "to know"}
    assert sheet["maintenance"] == {"retention": "two years"}
    assert sheet["uses"] == {"limits": "one town"}
    assert sheet["further"] == {"steward": "Eve"}
    text = shown(page)
    assert "Not stated: owner, collection, consent, uses, licence, contact, updates" in text
    order = [text.index(word) for word in ("to know", "one town", "two years", "steward")]
    assert order == sorted(order)


def test_nothing_from_data_or_owner_becomes_markup(tmp_path: Path) -> None:
    odd = table(**{ATTACK: [ATTACK] * 40})
    sheet, page = written(
        tmp_path, odd, about_data={"owner": ATTACK, ATTACK: ATTACK},
        wishes=Wishes({ATTACK: "keep"}, quasi_identifiers=["town"]),
    )  # fmt: skip
    assert "<script>alert" not in page and "<!--" not in page
    assert embedded(page) == sheet
    assert page.count("<script") == page.count("</script>") == 2


def test_a_thousand_columns_fit_and_the_sheet_beside_has_them_all(tmp_path: Path) -> None:
    draw = random.Random(0)
    names = [f"{'a_rather_long_name_of_a_column_' * 4}{i}" for i in range(1_000)]
    values = [draw.random() for _ in range(40)]
    sheet, page = written(tmp_path, table(**dict.fromkeys(names, values)))
    assert len(page) < 1_000_000
    assert len(sheet["columns"]) == 1_003
    assert "_datasheet.json" in embedded(page)["columns"]
    assert all(name[-40:] in shown(page) for name in names[::100])


def test_a_sample_is_spread_evenly_and_bounded() -> None:
    schema = pa.schema([("i", pa.int64())])
    sample = Sample(schema)
    for start in range(0, 100_000, 1_000):
        sample.add(pa.record_batch({"i": list(range(start, start + 1_000))}, schema=schema))
    places = sample.table()["i"].to_pylist()
    assert 10_000 <= len(places) < 20_000
    assert len({b - a for a, b in pairwise(places)}) == 1
    assert not sample.whole


@pytest.mark.parametrize("rows", [0, 7])
def test_small_samples_hold_every_row(rows: int) -> None:
    sample = Sample(pa.schema([("i", pa.int64())]))
    sample.add(pa.record_batch({"i": pa.array(range(rows), pa.int64())}))
    assert sample.whole and sample.table().num_rows == rows


def test_means_of_huge_numbers_do_not_wrap_around(tmp_path: Path) -> None:
    huge = pa.array([2**62, 2**62 - 1] * 20, pa.int64())
    sheet, _ = written(tmp_path, table(huge=huge, small=pa.array([-1] * 40, pa.int8())))
    told = {one["name"]: one for one in sheet["columns"]}
    assert told["huge"]["mean"] == pytest.approx(2**62)
    assert (told["small"]["minimum"], told["small"]["mean"]) == (-1, -1.0)
