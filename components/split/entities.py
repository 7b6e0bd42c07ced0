"""Entities whose rows straddle the splits: customers, patients, machines that a model knows."""

import re

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.lib.kinds import is_text
from shipway.components.split.assignment import TEST, TRAIN
from shipway.components.split.repeats import find_repeats
from shipway.components.split.scan import Kept
from shipway.components.split.subject import Subject, passed

NAMED_LIKENESS, LIKENESS = 0.1, 0.5
MIN_ENTITIES = 50
MAX_ROWS_EACH = 200
SEEN_SHARE = 0.2
_NAMES_AN_ENTITY = re.compile(
    r"(^|[_\W])(id|ids|uuid|guid|ssn|email|iban|imei|vin)($|[_\W])|[a-z](Id|ID|Uuid|UUID)$",
)


def entity_rules(subject: Subject) -> list[Rule]:
    """The group column where the rows are split another way, and columns that look like one."""
    found = []
    given = len(subject.scan.groups) and subject.strategy != "group"
    if given:
        found += _given(subject)
    for name, kept in subject.scan.cells.items():
        if name in (subject.group_column, subject.time_column):
            continue
        rule = _looks_like_one(subject, name, kept)
        if rule:
            found.append(rule)
    return found or [passed("group_overlap", "No entity has rows in several splits.", subject.rows)]


def _given(subject: Subject) -> list[Rule]:
    groups, parts = subject.scan.groups, subject.parts
    trained = np.unique(groups[parts == TRAIN])
    tested = np.isin(groups[parts == TEST], trained)
    if not tested.any():
        return []
    name = subject.group_column
    sentence = (
        f"The rows are split by {subject.strategy}, and {tested.mean():.1%} of the test rows are "
        f"of a group of '{name}' that was seen in training. Use split_strategy='group', unless "
        "the model will always meet groups that it knows."
    )
    return [Rule("group_overlap", "warn", sentence, float(tested.mean()), "0", name, len(tested))]


def _looks_like_one(subject: Subject, name: str, kept: Kept) -> Rule | None:
    mine = subject.parts[kept.rows]
    repeats = find_repeats(kept.hashes)
    entities = len(kept.rows) - len(repeats.rows) + len(repeats.starts)
    named = bool(_NAMES_AN_ENTITY.search(name))
    if not named and not is_text(subject.training.schema.field(name).type):
        return None  # whole numbers are measures, unless they are called otherwise
    each = len(kept.rows) / max(entities, 1)
    if entities < MIN_ENTITIES or not 1.2 <= each <= MAX_ROWS_EACH:
        return None
    trained = np.unique(kept.hashes[mine == TRAIN])
    tested = np.isin(kept.hashes[mine == TEST], trained)
    if not len(tested) or tested.mean() < SEEN_SHARE:
        return None
    rows = mine[repeats.rows] == TRAIN
    likeness = _likeness(subject, repeats.firsts[rows], kept.rows[repeats.rows[rows]])
    if likeness < (NAMED_LIKENESS if named else LIKENESS):
        return None
    sentence = (
        f"'{name}' looks like an entity ({each:.1f} rows each, whose labels agree by "
        f"{likeness:.2f} more than by chance), and {tested.mean():.1%} of the test rows are of one "
        f"that was seen in training. Use group_column='{name}', or exclude_columns if it is none."
    )
    return Rule("group_overlap", "warn", sentence, float(tested.mean()), "", name, len(tested))


def _likeness(subject: Subject, groups: np.ndarray, rows: np.ndarray) -> float:
    """The intra-class correlation of the label: 0 where groups tell nothing of it, 1 for all."""
    if len(rows) < MIN_ENTITIES:
        return 0.0
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    codes, rows = codes[counts[codes] > 1], rows[counts[codes] > 1]
    if len(rows) < MIN_ENTITIES:
        return 0.0
    values = subject.outcomes(rows)
    within = between = 0.0
    counts = np.bincount(codes).astype(np.float64)
    for column in values.T:
        total = np.bincount(codes, weights=column)
        squares = float((column**2).sum() - (total**2 / np.maximum(counts, 1)).sum())
        within += squares / max(len(rows) - (counts > 0).sum(), 1)
        between += float(column.var())
    return 1 - within / between if between else 0.0
