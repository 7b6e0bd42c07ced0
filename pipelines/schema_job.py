"""What `shipway schema` does in the data image's environment, where TFDV is.

Run as `python -m shipway.pipelines.schema_job REQUEST ANSWER`, two JSON files: the command itself
has no TFDV, and is the only one that prints.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shipway.components.lib.errors import ShipwayError
from shipway.components.lib.files import write_json_aside, write_text_aside
from shipway.components.lib.schema_file import marked, review_of


def infer(request: dict[str, Any]) -> dict[str, Any]:
    """Write the schema that a table fits: of a Dataset directory as it is, of all else ingested."""
    from shipway.components.validate.facts import column_facts
    from shipway.components.validate.schema import infer_schema, write_schema_text
    from shipway.components.validate.schema_remarks import remarks
    from shipway.components.validate.statistics import measure

    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        table = _dataset(request, Path(folder))
        profile = measure(table, sample_rows=request["sample_rows"])
        facts = column_facts(profile, table)
    schema = infer_schema(profile.statistics, facts, request["label"])
    write_text_aside(Path(request["out"]), write_schema_text(schema))
    return {
        "rows": profile.rows,
        "table_rows": profile.table_rows,
        "columns": len(facts),
        "remarks": remarks(schema),
    }


def _dataset(request: dict[str, Any], folder: Path) -> Path:
    from shipway.components.ingest.logic import Request, ingest
    from shipway.components.lib.errors import DataError, nearest
    from shipway.components.lib.tables import read_schema

    given, label = Path(request["data"]), request["label"]
    parts = sorted(given.glob("part-*.parquet")) if given.is_dir() else []
    if not parts:
        source = Request(data_uri=request["data"], label=label)
        ingest(source, folder / "dataset", folder / "page.html")
        return folder / "dataset"
    names = read_schema(given).names
    if label not in names:
        raise DataError(
            f"--label '{label}' is no column of '{given}'.{nearest(label, names)} It has "
            f"{', '.join(names[:20])}."
        )
    return given


def diff(request: dict[str, Any]) -> dict[str, Any]:
    """What changed from one schema to another."""
    from shipway.components.validate.schema import read_schema_file
    from shipway.components.validate.schema_diff import schema_diff

    old, new = (read_schema_file(request[name])[0] for name in ("old", "new"))
    return {"changes": schema_diff(old, new)}


def review(request: dict[str, Any]) -> dict[str, Any]:
    """Mark a schema as reviewed, once it is one that can be used."""
    from shipway.components.validate.schema import parse_schema
    from shipway.components.validate.schema_remarks import remarks

    path = Path(request["path"])
    schema, text = parse_schema(path.read_bytes(), f"'{path}'")
    before = review_of(text)
    write_text_aside(path, marked(text, request["by"]))
    return {"remarks": remarks(schema), "before": before and [before.by, before.at, before.valid]}


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "infer": infer,
    "diff": diff,
    "review": review,
}


def main(request: Path, answer: Path) -> None:
    """Do what a request asks for, and write the answer or the user's error."""
    asked = json.loads(request.read_text(encoding="utf-8"))
    try:
        done = JOBS[asked["job"]](asked)
    except ShipwayError as error:
        done = {"error": str(error)}
    write_json_aside(answer, done)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
