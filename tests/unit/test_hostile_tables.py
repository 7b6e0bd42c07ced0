"""Each broken or hostile table is found by the step that should, for the right reason.

Ingest and validate run for real in the data image's environment, one process for all the tables.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shipway.components.lib.decision import Decision, Rule
from tests.unit.hostile_tables import hostile_tables

DRIVER = """
import json, sys
from pathlib import Path
from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.errors import ShipwayError
from shipway.components.lib.tables import read_table, write_table
from shipway.components.validate.logic import Outputs, Settings, validate

seen = {}
for case in json.loads(Path(sys.argv[1]).read_text()):
    out = Path(case["out"])
    names = ("statistics.pb", "schema.pbtxt", "decision.json", "report.html")
    files = [out / name for name in names]
    result = {"step": "ingest", "error": ""}
    try:
        request = Request(data_uri=case["uri"], label=case["label"])
        ingest(request, out / "dataset", out / "datasheet.html")
        result["step"] = "validate"
        if case["gaps"]:
            rows = read_table(out / "dataset")
            values = [None, *rows["label"].to_pylist()[1:]]
            index = rows.schema.get_field_index("label")
            write_table(rows.set_column(index, "label", [values]), out / "dataset")
        settings = Settings(case["schema_uri"], **case["settings"])
        validate(out / "dataset", case["label"], Outputs(*files), settings)
    except ShipwayError as error:
        result["error"] = f"{type(error).__name__}: {error}"
    except Exception as error:
        result["error"] = f"not a user's error: {type(error).__name__}: {error}"
    result["left"] = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    seen[case["name"]] = result
Path(sys.argv[2]).write_text(json.dumps(seen))
"""
CLEAN = {
    "chicago-taxi/chicago_taxi.csv": "big_tipper",
    "telco-churn/telco_churn.csv": "Churn",
    "penguins/penguins.csv": "species",
    "diamonds/diamonds.csv": "price",
    "nyc-flights/flights.parquet": "late",
}
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
CASES = hostile_tables()


@pytest.fixture(scope="module")
def results(drive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each table: name -> step, error, what it left, decision."""
    folder = tmp_path_factory.mktemp("hostile")
    todo = [_written(folder / str(number), name) for number, name in enumerate(CASES)]
    for name, label in CLEAN.items():
        if (SHARED / name).is_file():
            out = folder / name.partition("/")[0] / "out"
            todo.append(_case(name, str(SHARED / name), label, out))
    (folder / "cases.json").write_text(json.dumps(todo))
    seen, _ = drive(folder, DRIVER, folder / "cases.json")
    outs = {case["name"]: Path(case["out"]) for case in todo}
    for name, result in seen.items():
        if result["step"] == "validate" and not result["error"]:
            result["decision"] = Decision.load(outs[name] / "decision.json")
            result["page"] = (outs[name] / "report.html").read_text()
    return seen


def _case(name: str, uri: str, label: str, out: Path) -> dict[str, Any]:
    case = {"name": name, "uri": uri, "label": label, "out": str(out)}
    return case | {"schema_uri": "", "settings": {}, "gaps": False}


def _written(folder: Path, name: str) -> dict[str, Any]:
    hostile = CASES[name]
    source = folder / "source"
    source.mkdir(parents=True)
    for file, content in hostile.files.items():
        (source / file).write_bytes(content)
    (only, *more) = [*hostile.files] or ["nowhere.csv"]
    case = _case(name, str(source if more else source / only), "label", folder / "out")
    settings = dict(hostile.settings)
    schema, case["gaps"] = settings.pop("schema", ""), settings.pop("gaps", False)
    if schema:
        (folder / "schema.pbtxt").write_text(schema)
        case["schema_uri"] = str(folder / "schema.pbtxt")
    return case | {"settings": settings}


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", [name for name, one in CASES.items() if one.step == "ingest"])
def test_ingest_refuses_a_broken_file_by_name_and_leaves_nothing(
    results: dict[str, Any], name: str
) -> None:
    result = results[name]
    assert result["step"] == "ingest", result
    assert re.match(r"(Data|Configuration)Error: ", result["error"]), result["error"]
    assert re.search(CASES[name].expected, result["error"]), result["error"]
    assert result["left"] == []


@pytest.mark.parametrize("name", [name for name, one in CASES.items() if one.step == "validate"])
def test_validate_finds_what_is_the_matter_and_nothing_else_stops(
    results: dict[str, Any], name: str
) -> None:
    hostile, result = CASES[name], results[name]
    kind, _, rest = hostile.expected.partition(" ")
    assert result["step"] == "validate", result
    if kind == "error":
        assert re.match("ConfigurationError: ", result["error"]), result["error"]
        assert re.search(re.escape(rest), result["error"]), result["error"]
        assert "decision.json" not in result["left"]
        return
    assert result["error"] == ""
    decision: Decision = result["decision"]
    stops = [rule.name for rule in decision.failures]
    if not rest:
        assert stops == []
        return
    rule = _rule(decision, *rest.split(" "))
    assert rule.verdict == kind
    assert re.search(hostile.said, rule.sentence), rule.sentence
    assert (decision.verdict == "fail") == (kind == "fail") or stops
    if kind != "fail":
        assert stops == []


def _rule(decision: Decision, name: str, column: str) -> Rule:
    where = {f"column {column}", f"label={column}"} if column else None
    found = [r for r in decision.rules if r.name == name and (not where or r.slice in where)]
    # Of several, the worst: a kind may also be reported of another column.
    order = ("fail", "warn", "pass")
    assert found, [(r.name, r.slice) for r in decision.rules if r.verdict != "pass"]
    return min(found, key=lambda rule: order.index(rule.verdict))


def test_no_page_takes_a_name_for_its_own_markup(results: dict[str, Any]) -> None:
    page = results["names that are HTML, endless and right to left"]["page"]
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert all(len(one["page"]) < 1_000_000 for one in results.values() if "page" in one)


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_table_is_not_stopped(results: dict[str, Any], name: str) -> None:
    if name not in results:
        pytest.skip("the tables of the shared folder are not here")
    assert results[name]["error"] == ""
    assert results[name]["decision"].verdict == "pass"
