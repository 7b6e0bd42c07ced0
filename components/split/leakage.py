"""The leakage gate: columns that give the label away, and rows that stand in two splits.

Each column is held against the label by itself: a small tree is grown on training rows and judged
on validation rows. The bounds were chosen on five public tables: their strongest honest columns
reach an AUC of 0.94 (of 1,000 rows and more), and a leaking one 1.00 in proportion to another.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.encoders import numbers
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.features import FeaturePlan, fit_plan
from shipway.components.lib.task import Target
from shipway.components.split.assignment import NAMES, TEST, TRAIN, VALIDATION

STOP = {"auc": 0.98, "r2": 0.995}
WARN = {"auc": 0.95, "r2": 0.97}
SUSPICIOUS = 0.9
MAX_DIVISORS = 50
RATIO = " / "
SAMPLE = 20_000
MIN_ROWS = 30
DEPTH = 4


def find_leaks(
    table: pa.Table,
    label: str,
    target: Target,
    parts: np.ndarray,
    hashes: np.ndarray,
    accepted: Sequence[str],
    group_column: str = "",
) -> Decision:
    """Judge a split.

    Args:
        table: all rows.
        label: the column to predict.
        target: its task.
        parts: each row's split, shape (n,).
        hashes: of each row's content but for the label, shape (n,).
        accepted: columns whose leak is reported and does not stop.
        group_column: the column that groups rows.

    Raises:
        ConfigurationError: an accepted column is not there.
    """
    for name in accepted:
        if name not in table.column_names:
            raise ConfigurationError(
                f"accepted_leaks names '{name}', which is no column."
                f"{nearest(name, table.column_names)}"
            )
    rules = [_overlap_rule(parts, hashes), *_conflict_rules(table.column(label), hashes)]
    rules += [
        _accepted(rule) if rule.slice in accepted else rule
        for rule in [
            *_twin_rules(table, label, target),
            *_single_column_rules(table, label, target, parts, group_column),
        ]
    ]
    return Decision("leakage", label, rules)


def _accepted(rule: Rule) -> Rule:
    if rule.verdict != "fail":
        return rule
    sentence = f"{rule.sentence} It was accepted by accepted_leaks."
    return Rule(rule.name, "warn", sentence, rule.value, rule.bound, rule.slice, rule.n)


def _overlap_rule(parts: np.ndarray, hashes: np.ndarray) -> Rule:
    trained = np.unique(hashes[parts == TRAIN])
    shared = int(np.isin(hashes[parts != TRAIN], trained).sum())
    held_out = np.unique(hashes[parts == VALIDATION])
    shared += int(np.isin(hashes[parts == TEST], held_out).sum())
    sentence = (
        f"{shared:,} rows stand in more than one split, equal in all columns but the label."
        if shared
        else "No row stands in more than one split."
    )
    verdict = "warn" if shared else "pass"
    return Rule("row_overlap", verdict, sentence, float(shared), "0", n=len(parts))


def _conflict_rules(labels: pa.ChunkedArray, hashes: np.ndarray) -> list[Rule]:
    order = np.argsort(hashes, kind="stable")
    codes = labels.combine_chunks().dictionary_encode().indices.to_numpy()[order]
    ordered = hashes[order]
    differs = (ordered[1:] == ordered[:-1]) & (codes[1:] != codes[:-1])
    count = int(differs.sum())
    if not count:
        return []
    sentence = (
        f"{count:,} rows are equal to another row in all columns but the label, which differs: no "
        "model can tell them apart. Look for a column that is missing."
    )
    return [Rule("conflicting_rows", "warn", sentence, float(count), "0", n=len(hashes))]


def _twin_rules(table: pa.Table, label: str, target: Target) -> list[Rule]:
    """Columns whose values stand one to one for the classes."""
    if target.task == "regression":
        return []
    rules = []
    labels = table.column(label).combine_chunks().dictionary_encode().indices.to_numpy()
    for name in table.column_names:
        if name == label:
            continue
        column = table.column(name).combine_chunks().dictionary_encode()
        if column.null_count or len(column.dictionary) != len(target.classes):
            continue
        pairs = np.unique(column.indices.to_numpy().astype(np.int64) * 1_000 + labels)
        if len(pairs) == len(target.classes):
            rules.append(
                Rule(
                    "label_twin",
                    "fail",
                    f"Column '{name}' is the label by another name: each of its values stands for "
                    f"one class. {_cure(name)}",
                    1.0,
                    "not one to one",
                    name,
                    table.num_rows,
                )
            )
    return rules


def _cure(name: str) -> str:
    return (
        f"Leave it out with exclude_columns=['{name}'], or, if it is known before the outcome, "
        f"accept it with accepted_leaks=['{name}']."
    )


def _single_column_rules(
    table: pa.Table, label: str, target: Target, parts: np.ndarray, group_column: str
) -> list[Rule]:
    training = _sample(table.filter(pa.array(parts == TRAIN)))
    held_out = _sample(table.filter(pa.array(parts == VALIDATION)))
    if held_out.num_rows < MIN_ROWS:
        return [
            Rule(
                "single_column",
                "warn",
                f"Only {held_out.num_rows} validation rows: too few to tell whether a column gives "
                "the label away.",
                n=held_out.num_rows,
            )
        ]
    try:
        plan = fit_plan(training, label, target, group_column=group_column)
    except DataError:  # no usable column: fit_features will say so, with the reasons
        return []
    measure = "r2" if target.task == "regression" else "auc"
    singles = _scores(plan, training, held_out)
    rarest = _rarest(target, held_out.column(label))
    rules = []
    for name, score in [*singles, *_ratios(plan, training, held_out, singles)]:
        proven = score if measure == "r2" else _lower_end(score, held_out.num_rows, rarest)
        verdict = "fail" if proven >= STOP[measure] else "warn" if proven >= WARN[measure] else ""
        if not verdict:
            continue
        column, _, divisor = name.partition(RATIO)
        who = f"'{column}' divided by '{divisor}'" if divisor else f"'{column}' alone"
        sentence = (
            f"Column {who} predicts the label with {measure} {score:.4f} on "
            f"{held_out.num_rows:,} rows that it was not fitted on: more than an honest column "
            f"does. {_cure(column)}"
        )
        bound = f"< {STOP[measure]:g}"
        rules.append(
            Rule("single_column", verdict, sentence, score, bound, column, held_out.num_rows)
        )
    if not any(rule.verdict == "fail" for rule in rules):
        sentence = f"No column alone predicts the label with {measure} of {STOP[measure]:g}."
        rules.append(Rule("single_column", "pass", sentence, bound=f"< {STOP[measure]:g}"))
    return rules


def _rarest(target: Target, labels: pa.ChunkedArray) -> int:
    """Rows of the rarest class, or of all where there are none."""
    if target.task == "regression":
        return len(labels)
    return int(np.bincount(target.encode(labels), minlength=len(target.classes)).min())


def _lower_end(auc: float, rows: int, rarest: int) -> float:
    """An AUC less two standard errors, so that few rows prove little.

    The error is that of a share among the rarest class, never that of certainty: as for the upper
    bound of J. A. Hanley and B. J. McNeil, Radiology 143(1), 1982.
    """
    return auc - 2 * float(np.sqrt(max(auc * (1 - auc), 1 / rows) / max(rarest, 1)))


def _ratios(
    plan: FeaturePlan,
    training: pa.Table,
    held_out: pa.Table,
    singles: list[tuple[str, float]],
) -> list[tuple[str, float]]:
    """A strong column in proportion to each other one: some labels are such a share."""
    if plan.target.task == "regression":
        return []
    plain = {column.name for column in plan.columns if column.kind == "number"}
    strong = [name for name, score in singles if name in plain and score >= SUSPICIOUS][:3]
    y, truth = (plan.target.encode(rows.column(plan.label)) for rows in (training, held_out))
    found = []
    for name in strong:
        best = (name, 0.0)
        for other in [one for one in plain if one != name][:MAX_DIVISORS]:
            known, asked = (_ratio(rows, name, other) for rows in (training, held_out))
            score = _score(plan.target, known, y, asked, truth)
            best = max(best, (f"{name}{RATIO}{other}", score), key=lambda item: item[1])
        found.append(best)
    return found


def _ratio(rows: pa.Table, name: str, other: str) -> np.ndarray:
    above, below = numbers(rows.column(name)), numbers(rows.column(other))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = (above / below).astype(np.float32)
    return np.where(np.isfinite(ratio), ratio, np.nan)[:, None]


def _sample(table: pa.Table) -> pa.Table:
    if table.num_rows <= SAMPLE:
        return table
    rows = np.random.default_rng(0).choice(table.num_rows, SAMPLE, replace=False)
    return table.take(np.sort(rows))


def _scores(plan: FeaturePlan, training: pa.Table, held_out: pa.Table) -> list[tuple[str, float]]:
    """How well each raw column predicts by itself, the best first."""
    y, truth = (plan.target.encode(rows.column(plan.label)) for rows in (training, held_out))
    known, asked = plan.transform_training(training), plan.transform(held_out)
    scores, start = [], 0
    for column in plan.columns:
        stop = start + len(column.outputs)
        score = _score(plan.target, known[:, start:stop], y, asked[:, start:stop], truth)
        scores.append((column.name, score))
        start = stop
    return sorted(scores, key=lambda item: -item[1])


def _score(
    target: Target, known: np.ndarray, y: np.ndarray, asked: np.ndarray, truth: np.ndarray
) -> float:
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    leaf = max(5, len(y) // 1000)
    if target.task == "regression":
        tree = DecisionTreeRegressor(max_depth=8, min_samples_leaf=leaf, random_state=0)
        return float(r2_score(truth, tree.fit(known, y).predict(asked)))
    if len(np.unique(y)) < len(target.classes) or len(np.unique(truth)) < len(target.classes):
        return 0.0
    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=leaf, random_state=0)
    probabilities = tree.fit(known, y).predict_proba(asked)
    if target.task == "binary":
        return float(roc_auc_score(truth, probabilities[:, 1]))
    return float(roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))


def counts_by_part(parts: np.ndarray, codes: np.ndarray, classes: int) -> dict[str, list[int]]:
    """Rows of each class in each split."""
    return {
        name: np.bincount(codes[parts == part], minlength=classes).tolist()
        for part, name in enumerate(NAMES)
    }
