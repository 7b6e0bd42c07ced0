"""A model that knows nothing passes no gate, whatever is asked of it; a tie passes."""

from pathlib import Path

import pytest
import yaml

from shipway.components.lib.model_store import open_store
from shipway.pipelines.specs import COMPILED
from tests.models import build, evaluated, judged, shuffled, table

TASKS = ("binary", "multiclass", "regression")
MAIN = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}
Made = dict[str, tuple[Path, Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """By task a model of shuffled labels with its evaluation, and one of true labels."""
    root = tmp_path_factory.mktemp("models")
    found = {}
    for task in TASKS:
        honest = table(800, 1, task)
        model = build(root / task / "shuffled", shuffled(honest))
        build(root / task / "honest", honest)
        found[task] = model, evaluated(model, root / task / "judged", table(800, 9, task))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_shuffled_labels_pass_no_default_rules(task: str, made: Made, tmp_path: Path) -> None:
    model, folder = made[task]
    verdict, decision = judged(model, folder, tmp_path)
    assert verdict == "rejected"
    assert "better_than_constant" in [rule.name for rule in decision.failures]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("against", ["constant", "linear"])
def test_shuffled_labels_pass_no_rule_of_a_file(
    against: str, task: str, made: Made, tmp_path: Path
) -> None:
    model, folder = made[task]
    rule = f"{{metric: {MAIN[task]}, at_least: 0, against: {against}, end: low}}"
    text = f"defaults: false\nrules:\n  - {rule}\n"
    verdict, decision = judged(model, folder, tmp_path, gates_uri=text)
    assert verdict == "rejected"
    assert [each.name for each in decision.failures] == [f"{MAIN[task]} against {against}"]


@pytest.mark.parametrize("task", TASKS)
def test_shuffled_labels_pass_no_bound_that_the_constant_fails(
    task: str, made: Made, tmp_path: Path
) -> None:
    bounds = {
        "binary": {"minimum_metrics": {"auc": 0.6}},
        "multiclass": {"maximum_metrics": {"log_loss": 0.95}},
        "regression": {"minimum_metrics": {"r2": 0.1}},
    }
    model, folder = made[task]
    verdict, decision = judged(model, folder, tmp_path, **bounds[task])
    assert verdict == "rejected"
    assert len(decision.failures) == 1


@pytest.mark.parametrize("task", TASKS)
def test_shuffled_labels_do_not_replace_a_champion_however_low_the_bounds(
    task: str, made: Made, tmp_path: Path
) -> None:
    model, folder = made[task]
    store = open_store(str(tmp_path / "store"))
    champion = model.with_name("honest")
    store.promote("churn", store.register("churn", champion, {}), None)
    low = {"maximum_metrics": {MAIN[task]: 1e9}, "model_store": str(tmp_path / "store")}
    verdict, decision = judged(model, folder, tmp_path, **low)
    assert verdict == "rejected"
    assert [rule.name for rule in decision.failures] == ["champion"]


def test_a_tie_with_the_champion_to_the_bit_passes(tmp_path: Path) -> None:
    first, again = (build(tmp_path / n, table(seed=1), golden=g) for n, g in (("a", 0), ("b", 9)))
    store = open_store(str(tmp_path / "store"))
    store.promote("churn", store.register("churn", first, {}), None)
    folder = evaluated(again, tmp_path / "judged")
    verdict, decision = judged(again, folder, tmp_path, model_store=str(tmp_path / "store"))
    assert verdict == "blessed"
    rule = next(rule for rule in decision.rules if rule.name == "champion")
    assert (rule.value, rule.interval) == (0.0, (0.0, 0.0))


def test_no_step_that_chooses_is_given_the_test_split() -> None:
    spec = yaml.safe_load((COMPILED / "train_and_deploy.yaml").read_text().split("\n---\n")[0])
    dags = [part["dag"]["tasks"] for part in spec["components"].values() if "dag" in part]
    readers = {
        name
        for tasks in dags
        for name, task in tasks.items()
        for given in (task.get("inputs") or {}).get("artifacts", {}).values()
        if str(given.get("componentInputArtifact")).endswith("split-table-test")
    }
    assert readers == {"evaluate-model", "bless-model", "explain-model"}
    takes = {
        name: set((task.get("inputs") or {}).get("artifacts", {}))
        for tasks in dags
        for name, task in tasks.items()
    }
    assert takes["fit-features"] == {"train", "validation", "schema"}
    assert takes["tune-model"] == takes["train-model"] == {"train", "validation", "plan"}
