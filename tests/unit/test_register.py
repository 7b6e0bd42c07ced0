import json
from pathlib import Path

import pytest

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError, ModelPackageError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_package import FORMAT, REQUIRED
from shipway.components.lib.model_store import open_store
from shipway.components.register.logic import register


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    files = {}
    for name in REQUIRED:
        (path / name).write_text(f"content of {name}")
        files[name] = {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)}
    (path / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": files}))
    return path


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "evaluation"
    path.write_text('{"roc_auc": 0.9}')
    return path


def decision(path: Path, gate: str = "model", verdict: str = "pass") -> Path:
    Decision(gate, "taxi", [Rule("roc_auc", verdict, "roc_auc is 0.51.")]).save(path)
    return path


def test_a_blessed_model_is_kept_with_its_evaluation_and_decision(
    model: Path, evaluation: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    passed = decision(tmp_path / "d")
    assert register(model, evaluation, passed, "taxi", store) == "1"
    assert register(model, evaluation, passed, "taxi", store) == "1"
    kept = open_store(store).download("taxi", "1")
    assert (kept / "evaluation.json").read_bytes() == evaluation.read_bytes()
    assert (kept / "decision.json").read_bytes() == passed.read_bytes()
    assert (kept / "model.ubj").read_bytes() == (model / "model.ubj").read_bytes()


@pytest.mark.parametrize(
    ("gate", "verdict", "said"),
    [("model", "fail", r"'fail'.*roc_auc is 0\.51"), ("endpoint", "pass", "gate 'endpoint'")],
)
def test_a_model_that_was_not_blessed_is_refused(
    gate: str, verdict: str, said: str, model: Path, evaluation: Path, tmp_path: Path
) -> None:
    refused = decision(tmp_path / "d", gate, verdict)
    with pytest.raises(StoreError, match=said):
        register(model, evaluation, refused, "taxi", str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_a_decision_without_rules_or_of_no_sense_is_refused(
    model: Path, evaluation: Path, tmp_path: Path
) -> None:
    Decision("model", "taxi", []).save(tmp_path / "empty")
    with pytest.raises(StoreError, match="it holds no rule"):
        register(model, evaluation, tmp_path / "empty", "taxi", str(tmp_path / "store"))
    (tmp_path / "torn").write_text('{"gate": "model"')
    with pytest.raises(ConfigurationError, match="torn"):
        register(model, evaluation, tmp_path / "torn", "taxi", str(tmp_path / "store"))


def test_a_damaged_package_is_refused(model: Path, evaluation: Path, tmp_path: Path) -> None:
    (model / "model.ubj").write_text("Content of model.ubj")
    with pytest.raises(ModelPackageError, match=r"'model\.ubj'"):
        register(model, evaluation, decision(tmp_path / "d"), "taxi", str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
