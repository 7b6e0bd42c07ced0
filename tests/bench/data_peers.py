"""What the data benchmark measures: each is run as `python -m tests.bench.data_peers NAME ...`."""

import sys
from pathlib import Path

from tests.bench.data_table import LABEL

THREADS = 2


def ingest_ours(source: str, out: Path) -> None:
    from shipway.components.ingest.logic import Request, ingest

    ingest(Request(source, LABEL), out / "dataset", out / "page.html")


def ingest_pandas(source: str, out: Path) -> None:
    import pandas as pd

    table = pd.read_csv(source) if source.endswith(".csv") else pd.read_parquet(source)
    table.to_parquet(out / "t.parquet", compression="zstd")


def ingest_pyarrow(source: str, out: Path) -> None:
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    if source.endswith(".csv"):
        batches = pacsv.open_csv(source)
        schema = batches.schema
    else:
        file = pq.ParquetFile(source)
        batches, schema = file.iter_batches(65_536), file.schema_arrow
    with pq.ParquetWriter(out / "t.parquet", schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def ingest_duckdb(source: str, out: Path) -> None:
    import duckdb

    read = "read_csv" if source.endswith(".csv") else "read_parquet"
    with duckdb.connect() as database:
        database.execute(f"SET threads = {THREADS}")
        database.execute(f"SET temp_directory = '{out}'")
        database.execute(
            f"COPY (FROM {read}('{source}')) TO '{out}/t.parquet' "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"
        )


def split_ours(source: str, out: Path) -> None:
    from shipway.components.split.logic import Request, split

    paths = {name: out / name for name in ("train", "validation", "test")}
    split(Path(source), Request(LABEL, strategy="hash"), paths, out / "decision", out / "page")


def validate_ours(source: str, out: Path) -> None:
    from shipway.components.validate.logic import Outputs, Settings, validate

    names = ("statistics", "schema", "decision", "page")
    validate(Path(source), LABEL, Outputs(*(out / name for name in names)), Settings())


def validate_tfdv(source: str, out: Path) -> None:
    import tensorflow_data_validation as tfdv

    tfdv.generate_statistics_from_csv(source, output_path=str(out / "statistics.tfrecord"))


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
