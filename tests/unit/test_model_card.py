import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from shipway.components.explain.logic import explain
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError
from shipway.components.model_card.controls import CONTROLS, NOT_EVIDENCED, mapped
from shipway.components.model_card.logic import write_card
from shipway.components.model_card.owner import read_owner
from tests.models import build, evaluated, judged, table

OWNER = """
owner: Ada Lovelace
contact: ada@example.org
intended_use:
  - Call customers who may leave
  - <script>alert(1)</script> | a pipe
users: the sales team
"""
DATASET = {
    "rows": 1500.0,
    "sha256": "ab" * 32,
    "source": "customers.csv",
    "display_name": "dataset",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The evidence of one run."""
    folder = tmp_path_factory.mktemp("run")
    model = build(folder / "model", table(seed=1), golden=5)
    evaluated(model, folder, protected=["city"])
    judged(model, folder, folder)
    explain(model, folder / "test", folder / "explanation.json", folder / "x.html")
    for gate in ("data", "leakage"):
        rule = Rule("rows", "pass", "There are 1,500 rows.")
        Decision(gate, "table", [rule]).save(folder / f"{gate}.json")
    return {
        "model": model,
        "data_decision": folder / "data.json",
        "leakage_decision": folder / "leakage.json",
        "evaluation": folder / "evaluation.json",
        "explanation": folder / "explanation.json",
        "decision": folder / "decision.json",
    }


def write(run: dict[str, Path], folder: Path, owner: str = "", **files: Path) -> dict[str, Any]:
    given = {**run, **files}
    model = given.pop("model")
    paths = {name: folder / name for name in ("card", "report", "markdown")}
    write_card(model, given, DATASET, owner, **paths)
    return json.loads((folder / "card").read_text())


def test_a_card_is_made_of_the_run_alone(run: dict[str, Path], tmp_path: Path) -> None:
    card = write(run, tmp_path)
    evaluation = json.loads(run["evaluation"].read_text())
    assert card["evaluation"]["metrics"] == evaluation["metrics"]
    assert card["model"]["digest"] == evaluation["digest"]
    assert card["gates"]["decision"]["verdict"] == "pass"
    assert card["owner"] == {}
    markdown, page = (tmp_path / "markdown").read_text(), (tmp_path / "report").read_text()
    assert "It may ship" in markdown
    assert "It may ship" in page
    assert "not stated" in markdown
    assert "Stability over time was not measured" in markdown
    assert len(page) < 1_000_000


def test_controls_are_mapped_to_artifacts_or_not_evidenced(
    run: dict[str, Path], tmp_path: Path
) -> None:
    rows = {row["control"]: row for row in write(run, tmp_path)["controls"]}
    assert len(rows) == len(CONTROLS)
    assert rows["MEASURE 2.11"]["evidence"].startswith("evaluation, fairness (")
    assert rows["A.7.5"]["evidence"] == "dataset, source customers.csv; dataset (abababababab)"
    for control in ("MAP 1.1", "MEASURE 2.6", "A.2.2", "MEASURE 3.1"):
        assert rows[control]["evidence"] == NOT_EVIDENCED
    assert rows["MAP 1.1"]["lacking"] == "intended_use, users"
    with_owner = {row["control"]: row for row in write(run, tmp_path, OWNER)["controls"]}
    assert with_owner["MAP 1.1"]["evidence"] == "owner's file"


def test_a_search_that_too_few_rows_allowed_evidences_nothing(
    run: dict[str, Path], tmp_path: Path
) -> None:
    few = json.loads(run["evaluation"].read_text()) | {"regions": {"proposed": 0, "found": []}}
    (tmp_path / "few.json").write_text(json.dumps(few))
    card = write(run, tmp_path, evaluation=tmp_path / "few.json")
    (row,) = [row for row in card["controls"] if row["control"] == "MEASURE 2.5"]
    assert (row["evidence"], row["lacking"]) == (NOT_EVIDENCED, "regions")


def test_what_is_empty_evidences_nothing() -> None:
    assert all(row["evidence"] == NOT_EVIDENCED for row in mapped({}))
    numbers = [(control.framework, control.number) for control in CONTROLS]
    assert len(set(numbers)) == len(numbers)


def test_the_owners_words_stand_on_it_and_are_no_markup(
    run: dict[str, Path], tmp_path: Path
) -> None:
    write(run, tmp_path, OWNER)
    markdown, page = (tmp_path / "markdown").read_text(), (tmp_path / "report").read_text()
    assert "Ada Lovelace" in page
    assert "<script>alert" not in markdown
    assert "<script>alert" not in page
    assert "\\| a pipe" in markdown


def test_a_rejected_model_gets_a_card_that_says_why(run: dict[str, Path], tmp_path: Path) -> None:
    gates = "rules:\n  - {metric: auc, at_least: 0.9999}\n"
    judged(run["model"], run["evaluation"].parent, tmp_path, gates_uri=gates)
    card = write(run, tmp_path, decision=tmp_path / "decision.json")
    assert card["gates"]["decision"]["verdict"] == "fail"
    assert "It may not ship: it breaks 1 of" in (tmp_path / "markdown").read_text()
    assert any("0.9999" in line for line in card["limits"])


def test_an_override_stands_on_the_card(run: dict[str, Path], tmp_path: Path) -> None:
    gates = (
        "rules:\n  - {metric: auc, at_least: 0.9999}\n"
        "overrides:\n  - {rule: auc, by: Grace Hopper, reason: a pilot of two weeks}\n"
    )
    judged(run["model"], run["evaluation"].parent, tmp_path, gates_uri=gates)
    write(run, tmp_path, decision=tmp_path / "decision.json")
    markdown = (tmp_path / "markdown").read_text()
    assert "Overridden by Grace Hopper: a pilot of two weeks" in markdown


def test_evidence_of_another_model_is_refused(run: dict[str, Path], tmp_path: Path) -> None:
    other = json.loads(run["explanation"].read_text()) | {"digest": "0" * 64}
    (tmp_path / "explanation.json").write_text(json.dumps(other))
    with pytest.raises(ConfigurationError, match="explanation is of model 000000000000"):
        write(run, tmp_path, explanation=tmp_path / "explanation.json")
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    with pytest.raises(ConfigurationError, match="run the step that writes it again"):
        write(run, tmp_path, evaluation=tmp_path / "none")
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("owner: [\n x\n", "no YAML"),
        ("- a\n- b\n", "no mapping"),
        ("owner: Ada\nowner: Bob\n", "'owner' stands twice"),
        ("ownr: Ada\nusers: all\n", "Did you mean 'owner'"),
        ("owner: 3\nusers: all\n", "write text"),
        ("owner: ''\nusers: all\n", "write text"),
    ],
)
def test_an_owners_file_that_is_unclear_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_owner(text)


def test_an_owners_file_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "owner.yaml").write_text(OWNER)
    found = read_owner(str(tmp_path / "owner.yaml"))
    assert found == read_owner(OWNER)
    assert found["owner"] == ["Ada Lovelace"]
    assert len(found["intended_use"]) == 2
    assert read_owner("") == {}


def test_a_file_is_not_read_in_part(tmp_path: Path) -> None:
    (tmp_path / "owner.yaml").write_text(OWNER + "# and more\n" * 100_000)
    with pytest.raises(ConfigurationError, match="larger than 1,048,576 bytes"):
        read_owner(str(tmp_path / "owner.yaml"))
