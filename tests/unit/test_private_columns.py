"""No page and no artifact that is shown tells a value of a private column, from end to end."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.evaluate.logic import evaluate
from shipway.components.explain.logic import explain
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import DataError
from shipway.components.lib.private import PRIVATE, mark_private
from shipway.components.lib.slices import choose_slices, slices_of
from shipway.components.lib.tables import write_table
from shipway.components.model_card.logic import write_card
from shipway.components.monitor.logic import Request, detect
from shipway.components.split.times import read_times
from tests.models import ROWS, build, judged, table, train_of

HIDDEN = ("town", "street", "wage", "born")
COMMON, RARE = ("Quito", "Quebec"), "Quimper"
# Towns and streets, wages of some three billion, and days of birth.
WAGE = r"(?<![.\d])3[34]\d\d,?\d{3},?\d{3}|\b3\.[34]\d*e\+?0?9"
VALUES = re.compile(rf"Quito|Quirin|Quimper|Quebec|{WAGE}|\b19[34]\d-\d\d")
GATES = "rules:\n  - {metric: auc, at_least: 0.5, slice: each}\n"


def private_table(seed: int, moved: float = 0.0) -> pa.Table:
    draw = np.random.default_rng(seed)
    rows = table(ROWS, seed).drop_columns(["city"])
    z = rows["z"].to_numpy() + moved
    town = np.where(rows["x"].to_numpy() + moved > 0.2, *COMMON).astype(object)
    town[draw.permutation(ROWS)[:20]] = RARE
    born = np.datetime64("1931-01-01") + draw.integers(0, 6_000, ROWS)
    columns = {
        "town": pa.array(town),
        "street": pa.array([f"Quirin {n}" for n in draw.integers(0, 60, ROWS) + int(100 * moved)]),
        "wage": pa.array(3.35e9 + 2e7 * z),
        "born": pa.array(born.astype(str)),
    }
    for name, cells in columns.items():
        rows = rows.append_column(mark_private(pa.field(name, cells.type)), cells)
    return rows.drop_columns(["z"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model steps of one run, with every private column asked for wherever one can ask."""
    folder = tmp_path_factory.mktemp("private")
    model, test = build(folder / "model", private_table(1), golden=5), folder / "test"
    write_table(private_table(2), test)
    pages = folder / "pages"
    pages.mkdir()
    evaluation = pages / "evaluation.json"
    evaluate(
        model, test, evaluation, pages / "evaluation.html", ["town", "wage", "born"],
        train=train_of(model), time_column="born",
    )  # fmt: skip
    slices = ["town", "wage"]
    explain(model, test, pages / "explanation.json", pages / "explanation.html", slices)
    (folder / "evaluation.json").write_bytes(evaluation.read_bytes())
    judged(model, folder, pages, gates_uri=GATES)
    for gate in ("data", "leakage"):
        Decision(gate, "table", [Rule("rows", "pass", "Enough.")]).save(folder / gate)
    files = {name: pages / f"{name}.json" for name in ("evaluation", "explanation", "decision")}
    files |= {f"{gate}_decision": folder / gate for gate in ("data", "leakage")}
    places = {"card": "card.json", "report": "card.html", "markdown": "card.md"}
    write_card(model, files, {}, **{name: pages / file for name, file in places.items()})
    write_table(private_table(3, moved=0.5), folder / "later")
    files = {"decision_path": pages / "drift.json", "report_path": pages / "drift.html"}
    detect(test, folder / "later", Request(label="label"), **files)
    return folder


def test_no_page_and_no_artifact_tells_a_private_value(run: Path) -> None:
    written = {path.name: path.read_text() for path in (run / "pages").iterdir()}
    assert len(written) == 11
    found = {name: VALUES.findall(text)[:5] for name, text in written.items()}
    assert {name: values for name, values in found.items() if values} == {}


def test_the_figures_of_private_columns_stay(run: Path) -> None:
    pages = run / "pages"
    evaluation = json.loads((pages / "evaluation.json").read_text())
    slices = {part["slice"]: part["n"] for part in evaluation["slices"]}
    assert sum(n for name, n in slices.items() if name.startswith("town=")) == ROWS
    assert f"wage={PRIVATE} (4)" in slices
    assert evaluation["stability"]["periods"][0]["from"] == f"{PRIVATE} (1)"
    shapes = json.loads((pages / "explanation.json").read_text())["dependence"]
    assert {shape["kind"] for shape in shapes if shape["column"] in HIDDEN} == {PRIVATE}
    moved = json.loads((pages / "drift.json").read_text())["rules"]
    said = {rule["slice"]: rule["sentence"] for rule in moved if rule["verdict"] == "fail"}
    assert "higher by 0.5" in said["wage"] and "not" in said["street (new values)"]
    each = json.loads((pages / "decision.json").read_text())["rules"]
    assert f"town={PRIVATE} (1)" in [rule["slice"] for rule in each]


def test_without_the_mark_the_same_values_are_told(tmp_path: Path) -> None:
    rows = private_table(2)
    write_table(rows.replace_schema_metadata(None).cast(plain(rows.schema)), tmp_path)
    named = {part.name for part in choose_slices(tmp_path, "label", ["town", "wage"])}
    assert "town=Quito" in named and any(VALUES.search(n) for n in named if n != "town=Quito")


def plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(one.name, one.type) for one in schema])


def test_groups_of_a_protected_column_are_named_but_those_of_few_persons(
    run: Path, tmp_path: Path
) -> None:
    files = tmp_path / "e.json", tmp_path / "e.html"
    evaluate(run / "model", run / "test", *files, ["wage"], protected_columns=["town"])
    (found,) = json.loads(files[0].read_text())["fairness"]
    named = {group["group"]: group["n"] for group in found["groups"]}
    assert {f"town={name}" for name in COMMON} < set(named)
    assert [n for name, n in named.items() if PRIVATE in name] == [20]
    assert RARE not in files[0].read_text() + files[1].read_text()


def test_an_owner_who_names_a_private_value_gets_its_slice(run: Path, tmp_path: Path) -> None:
    names = [part.name for part in slices_of(run / "test", "town", by_value=True)]
    assert "town=Quebec" in names
    gates = "rules:\n  - {metric: auc, at_least: 0.5, slice: town=Quebec}\n"
    _, decided = judged(run / "model", run, tmp_path, gates_uri=gates)
    rule = next(rule for rule in decided.rules if rule.slice == "town=Quebec")
    assert rule.n and rule.verdict == "pass"


@pytest.mark.parametrize(("mark", "said"), [(True, "a value"), (False, "'Quito'")])
def test_a_time_that_is_none_is_quoted_only_where_it_is_not_private(
    tmp_path: Path, mark: bool, said: str
) -> None:
    field = pa.field("at", pa.string())
    schema = pa.schema([mark_private(field) if mark else field])
    write_table(pa.table({"at": ["2020-01-01", "Quito"]}, schema=schema), tmp_path)
    with pytest.raises(DataError, match=f"but {said} is no time"):
        read_times(tmp_path, "at")
