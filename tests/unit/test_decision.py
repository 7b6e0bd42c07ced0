from pathlib import Path

import pytest

from shipway.components.lib.decision import Decision, Rule, bound_rule
from shipway.components.lib.errors import ConfigurationError, nearest


def test_a_decision_is_fail_closed() -> None:
    assert Decision("model", "m").verdict == "fail"
    good, bad = bound_rule("auc", 0.8, minimum=0.8), bound_rule("auc", 0.79, minimum=0.8)
    assert Decision("model", "m", [good]).verdict == "pass"
    assert Decision("model", "m", [good, bad]).verdict == "fail"
    assert Decision("model", "m", [good, Rule("x", "warn", "s")]).verdict == "pass"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_a_value_that_cannot_be_measured_fails(value: float | None) -> None:
    rule = bound_rule("auc", value, minimum=0.0)
    assert rule.verdict == "fail"
    assert "could not be measured" in rule.sentence


def test_a_decision_survives_its_file(tmp_path: Path) -> None:
    rule = bound_rule("auc", 0.9, minimum=0.8, slice="a=1", n=7, interval=(0.85, 0.95))
    decision = Decision("model", "m", [rule, Rule("x", "fail", "s", float("nan"))])
    decision.save(tmp_path / "d.json")
    again = Decision.load(tmp_path / "d.json")
    assert again.rules[0] == rule
    assert again.rules[1].value is None
    assert again.verdict == "fail"


def test_what_is_no_decision_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{"gate": "model"}')
    for name in ("d.json", "missing.json"):
        with pytest.raises(ConfigurationError, match=name):
            Decision.load(tmp_path / name)
    with pytest.raises(ConfigurationError, match="perhaps"):
        Rule("x", "perhaps", "s")


def test_nearest_ignores_case() -> None:
    assert nearest("Lable", ["label", "other"]) == " Did you mean 'label'?"
    assert nearest("zzz", ["label"]) == ""
