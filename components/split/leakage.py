"""The leakage gate: columns that give the label away, and rows that stand in two splits.

Each column is held against the label by itself. The bounds were chosen on public tables: honest
columns of the five that are tested reach an AUC of 0.95 and an R2 of 0.88; tips, of which a taxi's
label is made, 0.97 alone and 1.00 in proportion to the fare.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.tables import read_batches, read_schema, read_table
from shipway.components.lib.task import Target
from shipway.components.split.assignment import TEST, TRAIN, VALIDATION
from shipway.components.split.scores import (
    Judge,
    Score,
    column_scores,
    identifier_scores,
    ratio_scores,
)

STOP = {"auc": 0.98, "r2": 0.995}
WARN = {"auc": 0.95, "r2": 0.97}
SAMPLE = 20_000
SAMPLE_CELLS = 6_000_000
MIN_SAMPLE = 2_000
MIN_ROWS = 30
MAX_TWIN_CLASSES = 1_000


def find_leaks(
    dataset: Path,
    label: str,
    target: Target,
    parts: np.ndarray,
    hashes: np.ndarray,
    accepted: Sequence[str],
    group_column: str = "",
) -> Decision:
    """Judge a split.

    Args:
        dataset: all rows.
        label: the column to predict.
        target: its task.
        parts: each row's split, shape (n,).
        hashes: of each row's content but for the label and what parts the splits, shape (n,).
        accepted: columns whose leak is reported and does not stop.
        group_column: the column that groups rows.

    Raises:
        ConfigurationError: an accepted column is not there.
    """
    names = read_schema(dataset).names
    for name in accepted:
        if name not in names:
            raise ConfigurationError(
                f"accepted_leaks names '{name}', which is no column.{nearest(name, names)}"
            )
    size = min(SAMPLE, max(MIN_SAMPLE, SAMPLE_CELLS // len(names)))
    training, held_out = (_drawn(dataset, parts == part, size) for part in (TRAIN, VALIDATION))
    labels = read_table(dataset, [label]).column(label)
    twins = _twin_rules(dataset, training, label, labels, target)
    known = {rule.slice for rule in twins}
    singles = [
        rule
        for rule in _score_rules(training, held_out, label, target, group_column)
        if rule.slice not in known or not rule.slice
    ]
    rules = [_overlap_rule(parts, hashes), *_conflict_rules(labels, hashes), *twins, *singles]
    return Decision(
        "leakage", label, [_accepted(rule) if rule.slice in accepted else rule for rule in rules]
    )


def _drawn(dataset: Path, wanted: np.ndarray, size: int) -> pa.Table:
    """A sample of the wanted rows, drawn while streaming; shape of `wanted` (n,)."""
    rows = np.flatnonzero(wanted)
    if len(rows) > size:
        rows = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
    pieces, start = [], 0
    for batch in read_batches(dataset):
        first, last = np.searchsorted(rows, [start, start + batch.num_rows])
        pieces.append(batch.take(pa.array(rows[first:last] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(pieces)


def _accepted(rule: Rule) -> Rule:
    if rule.verdict != "fail":
        return rule
    sentence = f"{rule.sentence} It was accepted by accepted_leaks."
    return replace(rule, verdict="warn", sentence=sentence)


def _overlap_rule(parts: np.ndarray, hashes: np.ndarray) -> Rule:
    trained = np.unique(hashes[parts == TRAIN])
    tested = np.isin(hashes[parts == TEST], trained)
    shared = int(np.isin(hashes[parts == VALIDATION], trained).sum() + tested.sum())
    shared += int(np.isin(hashes[parts == TEST], np.unique(hashes[parts == VALIDATION])).sum())
    if not shared:
        return Rule("row_overlap", "pass", "No row stands in more than one split.", 0.0, "0")
    sentence = (
        f"{shared:,} rows stand in another split too, equal in all features: {tested.mean():.1%} "
        "of the test rows were seen in training. Look for a column that is missing, or use "
        "split_strategy='hash', which keeps equal rows together."
    )
    return Rule("row_overlap", "warn", sentence, float(shared), "0", n=len(parts))


def _conflict_rules(labels: pa.ChunkedArray, hashes: np.ndarray) -> list[Rule]:
    order = np.argsort(hashes, kind="stable")
    codes = _codes(labels)[order]
    ordered = hashes[order]
    count = int(((ordered[1:] == ordered[:-1]) & (codes[1:] != codes[:-1])).sum())
    if not count:
        return []
    sentence = (
        f"{count:,} rows are equal to another row in all columns but the label, which differs: no "
        "model can tell them apart. Look for a column that is missing."
    )
    return [Rule("conflicting_rows", "warn", sentence, float(count), "0", n=len(hashes))]


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _is_twin(column: pa.ChunkedArray, labels: np.ndarray, classes: int) -> bool:
    codes = _codes(column)
    if codes.max() != classes - 1 or codes.min() < 0:
        return False
    return len(np.unique(codes * MAX_TWIN_CLASSES + labels)) == classes


def _twin_rules(
    dataset: Path, sample: pa.Table, label: str, labels: pa.ChunkedArray, target: Target
) -> list[Rule]:
    """Columns whose values stand one to one for the classes, in the sample and then in all rows."""
    if target.task == "regression":
        return []
    some, every = _codes(sample.column(label)), _codes(labels)
    rules = []
    for name in sample.column_names:
        if name == label or not _is_twin(sample.column(name), some, int(some.max()) + 1):
            continue
        if _is_twin(read_table(dataset, [name]).column(name), every, len(target.classes)):
            sentence = (
                f"Column '{name}' is the label by another name: each of its values stands for one "
                f"class. {_cure(name)}"
            )
            rules.append(
                Rule("label_twin", "fail", sentence, 1.0, "not one to one", name, len(every))
            )
    return rules


def _cure(name: str) -> str:
    return (
        f"Leave it out with exclude_columns=['{name}'], or, if it is known at prediction time, "
        f"accept it with accepted_leaks=['{name}']."
    )


def _score_rules(
    training: pa.Table, held_out: pa.Table, label: str, target: Target, group_column: str
) -> list[Rule]:
    judge = Judge(target, training.column(label), held_out.column(label))
    if judge.rows < MIN_ROWS:
        sentence = f"Only {judge.rows} rows: too few to tell whether a column gives the label away."
        return [Rule("single_column", "warn", sentence, n=judge.rows)]
    try:
        plan = fit_plan(training, label, target, group_column=group_column)
    except DataError:  # no usable column: fit_features will say so, with the reasons
        return []
    measure = "r2" if target.task == "regression" else "auc"
    singles = column_scores(plan, judge, training, held_out)
    best = {score.column: score for score in singles}
    for score in ratio_scores(plan, judge, training, held_out, singles):
        if score.value > best[score.column].value:
            best[score.column] = score
    rules = [_score_rule(score, measure) for score in best.values()]
    identifiers = [
        _score_rule(score, measure, "warn")
        for score in identifier_scores(plan, judge, training, held_out)
    ]
    found = [rule for rule in [*rules, *identifiers] if rule is not None]
    if not any(rule.verdict == "fail" for rule in found):
        sentence = f"No column alone predicts the label with {measure} of {STOP[measure]:g}."
        found.append(Rule("single_column", "pass", sentence, bound=f"< {STOP[measure]:g}"))
    return found


def _score_rule(score: Score, measure: str, worst: str = "fail") -> Rule | None:
    """The rule that a score breaks, if any; what is not proven by enough rows is a warning."""
    if score.proven < WARN[measure] and score.value < STOP[measure]:
        return None
    verdict = worst if score.proven >= STOP[measure] else "warn"
    who = f"'{score.column}' alone"
    if score.divisor:
        who = f"'{score.column}' divided by '{score.divisor}'"
    sentence = (
        f"Column {who} predicts the label with {measure} {score.value:.4f} on {score.rows:,} rows "
        f"that it was not fitted on: more than an honest column does. {_cure(score.column)}"
    )
    return Rule(
        "single_column", verdict, sentence, score.value, f"< {STOP[measure]:g}", score.column,
        score.rows,
    )  # fmt: skip
