"""`shipway schema`: infer a schema, tell what changed in it, and mark it as reviewed."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from shipway.components.lib.errors import ConfigurationError, ShipwayError
from shipway.components.lib.images import DATA
from shipway.pipelines.options import Command

STATE = Path(".shipway")
DIFFERENT = 1
SHOWN = 40
FILE = click.Path(path_type=Path)


@click.group()
def schema() -> None:
    """Write the schema that tables are held to, compare two, mark one as reviewed."""


@schema.command(cls=Command, example="shipway schema infer trips.csv --label big_tipper")
@click.argument("data")
@click.option("--label", required=True, help="Column to predict.")
@click.option("--out", type=FILE, default=Path("schema.pbtxt"), show_default=True, help="File.")
@click.option("--sample-rows", default=0, show_default=True, help="Rows to measure; 0 for all.")
def infer(data: str, label: str, out: Path, sample_rows: int) -> None:
    """Write the schema that a table fits, with room for the next one.

    DATA is what `data_uri` takes, or the folder of an ingested table.
    """
    if out.exists():
        raise ConfigurationError(
            f"'{out}' exists, and may have been edited. Name another with --out, and compare them "
            f"by `shipway schema diff {out} OTHER`."
        )
    done = _in_data_environment(
        "infer", data=_absolute(data), label=label, out=str(out.absolute()), sample_rows=sample_rows
    )
    part = f" of {done['table_rows']:,}" if done["rows"] < done["table_rows"] else ""
    print(f"{out}: the schema of {done['columns']:,} columns, from {done['rows']:,}{part} rows.")
    _show(_together(done["remarks"]))
    print(f"Correct it, then: shipway schema review {out} --by NAME")


@schema.command(cls=Command, example="shipway schema diff schema.pbtxt new.pbtxt")
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Tell what changed, column by column; exit code 1 when there is a difference."""
    done = _in_data_environment("diff", old=_absolute(old), new=_absolute(new))
    changes = done["changes"]
    if not changes:
        print("The schemas say the same.")
        return
    _show(changes, len(changes))
    sys.exit(DIFFERENT)


@schema.command(cls=Command, example="shipway schema review schema.pbtxt --by 'Ada Lovelace'")
@click.argument("path", type=FILE)
@click.option("--by", required=True, metavar="NAME", help="Who looked at it.")
def review(path: Path, by: str) -> None:
    """Mark a schema as reviewed, after telling what deserves a look; a later edit unmarks it."""
    if not path.is_file():
        raise ConfigurationError(f"There is no file '{path}'; write one by `shipway schema infer`.")
    done = _in_data_environment("review", path=str(path.absolute()), by=by)
    _show(_together(done["remarks"]))
    if done["before"]:
        who, when, valid = done["before"]
        since = "" if valid else ", and it was changed since"
        print(f"{who} reviewed it at {when}{since}.")
    print(f"{path}: reviewed by {by}. Give its address as schema_uri.")


def _absolute(uri: str) -> str:
    """A path that holds in another process's folder; URIs are left alone."""
    return uri if "://" in uri else str(Path(uri).absolute())


def _together(remarks: list[list[str]]) -> list[list[str]]:
    """One line a column of all that is said of it."""
    said: dict[str, list[str]] = {}
    for subject, remark in remarks:
        said.setdefault(subject, []).append(remark)
    return [[subject, "; ".join(parts)] for subject, parts in said.items()]


def _show(lines: list[list[str]], most: int = SHOWN) -> None:
    for subject, said in lines[:most]:
        print(f"  {subject}: {said}")
    if len(lines) > most:
        print(f"  ... and {len(lines) - most:,} more")


def _in_data_environment(job: str, **request: Any) -> dict[str, Any]:
    """Have a job done where TFDV is.

    Raises:
        ShipwayError: what the job refused.
    """
    from shipway.pipelines.environments import prepare

    environment = prepare([DATA], STATE.absolute(), click.echo)[DATA]
    with tempfile.TemporaryDirectory(prefix="shipway-") as folder:
        asked, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps({"job": job, **request}), encoding="utf-8")
        command = [str(environment / "bin" / "python"), "-m", "shipway.pipelines.schema_job"]
        ran = subprocess.run(
            [*command, str(asked), str(answer)], capture_output=True, text=True, check=False
        )
        if ran.returncode or not answer.is_file():
            said = ran.stderr.strip()[-2_000:] or "no message"
            raise ShipwayError(f"`shipway schema {job}` broke in the data environment: {said}")
        done: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in done:
        raise ShipwayError(done["error"])
    return done
