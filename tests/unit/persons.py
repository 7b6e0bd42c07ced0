"""A table of persons, and a place to ingest it in with its wishes."""

import datetime
import html
import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.inspection import Wishes
from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.errors import ShipwayError

KEY = "a key of thirty-two characters.."
ROWS = 60


class Bench:
    """Ingests a table of persons and looks at everything that was written."""

    def __init__(self, folder: Path) -> None:
        self.source, self.dataset = folder / "source", folder / "out" / "dataset"
        self.page = folder / "out" / "page.html"

    def read(self, table: pa.Table, **wishes: Any) -> pa.Table:
        self.source.mkdir(exist_ok=True)
        pq.write_table(table, self.source / "t.parquet")
        about = wishes.pop("about_data", {})
        more = {k: wishes.pop(k) for k in ("label", "exclude_columns") if k in wishes}
        request = Request(
            str(self.source / "t.parquet"), **{"label": "y", **more},
            wishes=Wishes(**wishes), about_data=about,
        )  # fmt: skip
        self.metadata = ingest(request, self.dataset, self.page)
        return pq.read_table(self.dataset)

    def refused(self, table: pa.Table, **wishes: Any) -> str:
        with pytest.raises(ShipwayError) as caught:
            self.read(table, **wishes)
        assert not self.dataset.exists()
        return str(caught.value)

    def written(self) -> str:
        texts = [self.page.read_text(), (self.dataset / "_datasheet.json").read_text()]
        return html.unescape(re.sub("<wbr>|<bdi>|</bdi>", "", "\n".join(texts)))

    def sheet(self) -> dict[str, Any]:
        sheet: dict[str, Any] = json.loads((self.dataset / "_datasheet.json").read_text())
        return sheet


def persons(rows: int = ROWS, **more: Any) -> pa.Table:
    draw = random.Random(0)
    day = datetime.datetime(1980, 3, 14, 15)
    columns = {
        "mail": [f"person{i}@mail.example.org" for i in range(rows)],
        "seen": [day + datetime.timedelta(days=37 * i) for i in range(rows)],
        "age": [18 + i % 47 for i in range(rows)],
        "income": [1_000.5 * (i % 9) for i in range(rows)],
        "town": [draw.choice(["Ulm", "Bern", "Graz"]) for _ in range(rows)],
        "y": [i % 2 for i in range(rows)],
    }
    return pa.table({**columns, **more})
