"""Columns that are the label by another name, and columns that the label is computed from."""

from collections.abc import Iterator

import numpy as np

from shipway.components.lib.columns import numbers
from shipway.components.lib.decision import Rule
from shipway.components.lib.kinds import is_number
from shipway.components.split.hashing import cell_hashes
from shipway.components.split.scan import read_column
from shipway.components.split.subject import Subject, cure

MIN_ROWS = 30
MIN_VALUES = 10
FEW_ROWS = 64
MAX_COLUMNS = 100
EXACT = 1e-9
KNOWN_SHARE = 0.5


def function_rules(subject: Subject) -> list[Rule]:
    """Twins of a label of classes; of a regression, columns that give the number exactly."""
    if not subject.target.kind.numeric:
        return _twins(subject)
    if subject.training.num_rows < MIN_ROWS:
        return []
    y = numbers(subject.training.column(subject.label))
    plain = {
        name: numbers(subject.training.column(name))
        for name in subject.features
        if is_number(subject.training.schema.field(name).type)
    }
    if len(np.unique(y)) < MIN_VALUES:
        return []
    singles = [_single(name, x, y) for name, x in plain.items()]
    found = [rule for rule in singles if rule]
    if found:
        return found
    few = {n: x for n, x in plain.items() if np.isfinite(x).mean() > KNOWN_SHARE}
    few = dict(list(few.items())[:MAX_COLUMNS])
    pair = _pair(few, y)
    if pair:
        return [_combined(pair[0], pair[1], len(y))]
    columns = _linear(few, y)
    return [_combined(columns, " + ".join(f"a*{c}" for c in columns), len(y))] if columns else []


def _twins(subject: Subject) -> list[Rule]:
    """Columns whose values stand one to one for the classes, in the sample and then in all rows."""
    rules = []
    for name in subject.features:
        hashes = subject.cells(name)
        distinct, first = np.unique(hashes, return_index=True)
        classes = subject.known[first]
        if len(distinct) != len(subject.target.classes) or len(np.unique(classes)) < len(distinct):
            continue
        if subject.training.column(name).null_count:
            continue
        if all(_agrees(distinct, classes, *one) for one in _cells(subject, name)):
            sentence = (
                f"Column '{name}' is the label by another name: each of its values stands for one "
                f"class. {cure(name)}"
            )
            rules.append(
                Rule("label_twin", "fail", sentence, 1.0, "not one to one", name, subject.rows)
            )
    return rules


def _cells(subject: Subject, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes of a column and the labels: of the sample, then of all rows, batch by batch."""
    yield subject.cells(name), subject.known
    start = 0
    for column in read_column(subject.dataset, name):
        yield cell_hashes(name, column), subject.y[start : start + len(column)]
        start += len(column)


def _agrees(
    distinct: np.ndarray, classes: np.ndarray, hashes: np.ndarray, labels: np.ndarray
) -> bool:
    places = np.minimum(np.searchsorted(distinct, hashes), len(distinct) - 1)
    return bool((distinct[places] == hashes).all() and (classes[places] == labels).all())


def _single(name: str, x: np.ndarray, y: np.ndarray) -> Rule | None:
    """Whether a number rises or falls with the label in every row that has it."""
    known = np.isfinite(x)
    if known.sum() < MIN_ROWS or known.mean() < KNOWN_SHARE:
        return None
    x, y = x[known], y[known]
    if len(np.unique(y)) < MIN_VALUES or len(np.unique(x)) < MIN_VALUES:
        return None
    slope, place = np.polyfit(x, y, 1) if np.ptp(x) else (0.0, 0.0)
    if np.abs(y - (slope * x + place)).max() <= _allowed(y).max():
        return _function(name, f"{slope:.6g} times it, plus {place:.6g}", len(x))
    order = np.argsort(x, kind="stable")
    steps, rises = np.diff(x[order]), np.diff(y[order])
    same_where_same = not (rises[steps == 0] != 0).any()
    moves = rises[steps > 0]
    if same_where_same and ((moves > 0).all() or (moves < 0).all()):
        how = "rises" if (moves > 0).all() else "falls"
        return _function(name, f"a function of it that {how} all along", len(x))
    return None


def _function(name: str, how: str, rows: int) -> Rule:
    sentence = f"The label is {how}, in each of {rows:,} rows: column '{name}'. {cure(name)}"
    return Rule("label_function", "fail", sentence, 1.0, "no function of the label", name, rows)


def _combined(columns: list[str], formula: str, rows: int) -> Rule:
    names = ", ".join(f"'{name}'" for name in columns)
    sentence = (
        f"The label is {formula} in {rows:,} rows of training: no model is needed, or {names} "
        f"became known with the label. {cure(columns[0])}"
    )
    return Rule("label_function", "fail", sentence, 1.0, "no formula", columns[0], rows)


def _allowed(y: np.ndarray) -> np.ndarray:
    """Errors of a float, and of a label that was rounded to cents where it is larger than those."""
    allowed = EXACT * np.abs(y) + 1e-12
    cents = np.abs(y * 100 - np.round(y * 100)).max() < 1e-6
    if cents and y.std() > 1:
        allowed = allowed + 0.00501
    return np.asarray(allowed)


def _formulas(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        yield "{0} + {1}", a + b
        yield "{0} - {1}", a - b
        yield "{1} - {0}", b - a
        yield "{0} * {1}", a * b
        yield "{0} / {1}", a / b
        yield "{1} / {0}", b / a


def _pair(plain: dict[str, np.ndarray], y: np.ndarray) -> tuple[list[str], str] | None:
    """Two columns whose sum, difference, product or ratio is the label; few rows sort most out."""
    names = list(plain)
    if len(names) < 2:
        return None
    values = np.stack([plain[name] for name in names])
    few = np.linspace(0, len(y) - 1, min(FEW_ROWS, len(y))).astype(int)
    some, truth, allowed = values[:, few], y[few], _allowed(y)
    for i in range(len(names)):
        for formula, results in _formulas(some[i][None, :], some[i + 1 :]):
            near = np.abs(results - truth) <= allowed[few]
            near |= ~np.isfinite(results)
            usable = np.isfinite(results).mean(axis=1) > KNOWN_SHARE
            for j in np.flatnonzero(near.all(axis=1) & usable) + i + 1:
                again = dict(_formulas(values[i], values[j]))[formula]
                known = np.isfinite(again)
                if (np.abs(again - y) <= allowed)[known].mean() > 0.99:
                    pair = [names[i], names[int(j)]]
                    return pair, formula.format(*(f"'{name}'" for name in pair))
    return None


def _linear(plain: dict[str, np.ndarray], y: np.ndarray) -> list[str]:
    """Columns of which the label is a weighted sum, but for what rounding leaves."""
    if len(plain) < 2:
        return []
    values = np.stack([*plain.values(), np.ones(len(y))], axis=1)
    known = np.isfinite(values).all(axis=1)
    if known.sum() < max(MIN_ROWS, 3 * values.shape[1]):
        return []
    values, y = values[known], y[known]
    weights = np.linalg.lstsq(values, y, rcond=None)[0]
    left = y - values @ weights
    if (left**2).sum() > 1e-9 * ((y - y.mean()) ** 2).sum():
        return []
    share = np.abs(weights[:-1]) * values[:, :-1].std(axis=0) / y.std()
    return [name for name, part in zip(plain, share, strict=True) if part > 1e-4][:6]
