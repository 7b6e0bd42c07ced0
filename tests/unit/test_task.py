import pyarrow as pa
import pytest

from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.labels import infer_task, resolve_target
from shipway.components.lib.task import Target


@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        (["Yes", "No", None], "binary", ["No", "Yes"]),
        ([True, False], "binary", [False, True]),
        ([0, 1, 1], "binary", [0, 1]),
        ([0.0, 1.0, None], "binary", [0, 1]),
        ([-1, 1], "binary", [-1, 1]),
        ([1, 2, 3], "multiclass", [1, 2, 3]),
        (["a", "b", "c"], "multiclass", ["a", "b", "c"]),
        ([1.5, 2.0], "regression", []),
        ([10, 20, 30], "regression", []),
        (list(range(11)), "regression", []),
    ],
)
def test_the_task_is_told_from_the_label(labels: list, task: str, classes: list) -> None:
    target = infer_task(pa.array(labels))
    assert (target.task, target.classes) == (task, classes)
    assert Target.from_json(target.to_json()) == target


@pytest.mark.parametrize("labels", [["a", "a"], [None, None], [1, 1, None], [float("nan"), 1.0]])
def test_a_label_that_does_not_vary_is_refused(labels: list) -> None:
    with pytest.raises(DataError, match="nothing to learn|must be numbers"):
        infer_task(pa.array(labels))


def test_an_override_must_fit() -> None:
    numbers, text = pa.array([1, 2, 3]), pa.array(["a", "b", "c"])
    assert resolve_target(numbers, "regression").task == "regression"
    assert resolve_target(pa.array([10, 20, 30]), "multiclass").classes == [10, 20, 30]
    with pytest.raises(ConfigurationError, match="needs a label of numbers"):
        resolve_target(text, "regression")
    with pytest.raises(ConfigurationError, match="two values"):
        resolve_target(text, "binary")
    with pytest.raises(ConfigurationError, match="Did you mean 'regression'"):
        resolve_target(numbers, "regresion")
    with pytest.raises(DataError, match="fractions"):
        resolve_target(pa.array([0.5, 1.5]), "binary")


def test_labels_become_codes_or_values() -> None:
    target = infer_task(pa.array(["No", "Yes"]))
    assert target.encode(pa.array(["Yes", "No"])).tolist() == [1, 0]
    assert infer_task(pa.array([0, 1])).encode(pa.array([1.0, 0.0])).tolist() == [1, 0]
    assert infer_task(pa.array([1.5, 9])).encode(pa.array([1, 2])).dtype == "float32"
    with pytest.raises(DataError, match="'Perhaps'"):
        target.encode(pa.array(["Perhaps"]))
    with pytest.raises(DataError, match="missing"):
        target.encode(pa.array(["Yes", None]))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1e39])
def test_a_label_that_no_float_holds_is_told_with_its_row(wrong: float) -> None:
    with pytest.raises(DataError, match=r"1 of 3 labels .* \(first: row 2\)"):
        Target("regression").encode(pa.array([1.0, wrong, 2.0]))
