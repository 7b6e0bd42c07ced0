"""The payload log: requests and answers as CloudEvents in Parquet, in one form wherever they are.

The model server writes this form by itself. In a cluster KServe's logger writes columns of its own
to a bucket; the reader takes both.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shipway.components.lib.errors import DataError

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
MOMENT = pa.timestamp("us", tz="UTC")
# The attributes of KServe's events, in lower case as CloudEvents wants them, and the body.
SCHEMA = pa.schema(
    [
        ("specversion", pa.string()),
        ("id", pa.string()),  # the same for a request and its answer
        ("type", pa.string()),
        ("source", pa.string()),
        ("time", MOMENT),  # null in what KServe's logger wrote
        ("recordedtime", MOMENT),
        ("datacontenttype", pa.string()),
        ("inferenceservicename", pa.string()),
        ("namespace", pa.string()),
        ("component", pa.string()),
        ("endpoint", pa.string()),
        ("metadata", pa.string()),  # JSON: headers that are needed to read the body
        ("annotations", pa.string()),  # JSON: version and digest of the model
        ("data", pa.binary()),
    ]
)
# What KServe's logger calls them in Parquet.
OF_KSERVE = {
    "id": "id",
    "type": "reqType",
    "source": "sourceUri",
    "datacontenttype": "contentType",
    "inferenceservicename": "inferenceService",
    "namespace": "namespace",
    "component": "component",
    "endpoint": "endpoint",
    "metadata": "metadata",
    "annotations": "annotations",
}


def payload_files(folder: Path) -> list[Path]:
    """The whole files below a folder, by name; hidden ones are still being written."""
    return sorted(
        path
        for path in folder.rglob("*.parquet")
        if not path.name.startswith(".") and path.is_file()
    )


def read_payloads(folder: Path) -> Iterator[pa.Table]:
    """The events below a folder, one table of `SCHEMA` a file.

    Raises:
        DataError: a file is no payload log; the message names it.
    """
    for path in payload_files(folder):
        try:
            table = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"Payload log '{path}' cannot be read: {error}. Remove it, or fetch it again."
            ) from error
        yield _in_our_form(table, path)


def _in_our_form(table: pa.Table, path: Path) -> pa.Table:
    names = set(table.column_names)
    if names >= set(SCHEMA.names):
        return table.select(SCHEMA.names).cast(SCHEMA)
    lacking = sorted({*OF_KSERVE.values(), "bytes"} - names)
    if lacking:
        raise DataError(
            f"'{path}' is no payload log: it lacks {', '.join(lacking)}. Point at the folder that "
            "the model server's --payload_log or KServe's logger writes."
        )
    rows = table.num_rows
    columns = {ours: table.column(theirs) for ours, theirs in OF_KSERVE.items()}
    columns |= {
        "specversion": pa.repeat("1.0", rows),
        "time": pa.nulls(rows, MOMENT),
        "recordedtime": pa.nulls(rows, MOMENT),
        "data": pa.array([_decoded(text, path) for text in table.column("bytes").to_pylist()]),
    }
    return pa.table(
        [pc.cast(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names], SCHEMA
    )


def _decoded(text: str, path: Path) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except ValueError as error:
        raise DataError(f"'{path}' holds a body that is not base64: {error}.") from error
