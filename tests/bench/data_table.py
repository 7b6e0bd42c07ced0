"""The table of the data benchmark: 25 columns, as CSV or Parquet, a block of rows at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

BLOCK = 250_000
LABEL = "y"
_WORDS = np.array([f"word{place}" for place in range(50_000)])
_BEGIN = np.datetime64("2020-01-01T00:00:00", "s")


def blocks(rows: int) -> Iterator[pa.Table]:
    """Ten numbers, an identifier, six whole numbers, five texts, a flag, two times, and a label."""
    for start in range(0, rows, BLOCK):
        size = min(BLOCK, rows - start)
        draws = np.random.default_rng(start)
        columns: dict[str, pa.Array] = {"id": pa.array(np.arange(start, start + size))}
        for place in range(10):
            missing = draws.random(size) < 0.03
            columns[f"f{place}"] = pa.array(np.round(draws.normal(50, 20, size), 3), mask=missing)
        for place in range(6):
            columns[f"i{place}"] = pa.array(draws.integers(0, 10 ** (place + 1), size))
        for place, count in enumerate((3, 10, 40, 500, 50_000)):
            columns[f"c{place}"] = pa.array(_WORDS[draws.integers(0, count, size)])
        seconds = _BEGIN + draws.integers(0, 10**8, size).astype("timedelta64[s]")
        columns["flag"] = pa.array(draws.random(size) < 0.4)
        columns["time"] = pa.array(seconds)
        columns[LABEL] = pa.array(draws.integers(0, 2, size))
        yield pa.table(columns)


def make(rows: int, folder: Path) -> tuple[Path, Path]:
    """Write the table as `ROWS.csv` and `ROWS.parquet`."""
    texts, parts = folder / f"{rows}.csv", folder / f"{rows}.parquet"
    schema = next(blocks(1)).schema
    # Half of the programs that write CSV put text in quotes; these are the other half.
    plain = pacsv.WriteOptions(quoting_style="none")
    with (
        pacsv.CSVWriter(texts, schema, write_options=plain) as text,
        pq.ParquetWriter(parts, schema, compression="zstd") as part,
    ):
        for block in blocks(rows):
            text.write_table(block)
            part.write_table(block, row_group_size=BLOCK)
    _unquote_header(texts)
    return texts, parts


def _unquote_header(path: Path) -> None:
    """Blank the quotes that pyarrow puts around names whatever it is told."""
    with path.open("r+b") as file:
        line = file.readline()
        bare = line.strip().replace(b'"', b"")
        file.seek(0)
        file.write(bare + b"\n" + b"\n" * (len(line) - len(bare) - 1))
