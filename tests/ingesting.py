"""A place to ingest in: sources are put there, and what becomes of them is looked at."""

import html
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.errors import ShipwayError

GOOD = "a,b,y\n" + "".join(f"{i},{i * 7 % 13},{'yes' if i % 3 else 'no'}\n" for i in range(30))


def types(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


class Bench:
    """Puts sources in a folder and ingests them."""

    def __init__(self, folder: Path) -> None:
        self.source, self.out = folder / "source", folder / "out"
        self.source.mkdir()
        self.dataset, self.page = self.out / "dataset", self.out / "page.html"

    def put(self, name: str, content: str | bytes | pa.Table) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, uri: object, label: str = "y", **more: Any) -> pa.Table:
        self.metadata = ingest(Request(str(uri), label, **more), self.dataset, self.page)
        return pq.read_table(self.dataset)

    def refused(self, uri: object, label: str = "y", **more: Any) -> str:
        before = self.written()
        with pytest.raises(ShipwayError) as caught:
            self.read(uri, label, **more)
        assert self.written() == before
        return str(caught.value)

    def written(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.out.rglob("*")}

    def says(self, text: str) -> bool:
        return text in html.unescape(re.sub("<[^>]*>", "", self.page.read_text()))
