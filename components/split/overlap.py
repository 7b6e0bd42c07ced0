"""Rows of one split that stand in another too: equal, nearly equal, or of one key."""

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.lib.kinds import kind_of
from shipway.components.split.assignment import TEST, TRAIN, VALIDATION
from shipway.components.split.hashing import loose_hashes
from shipway.components.split.repeats import find_repeats, hashes_in_splits
from shipway.components.split.scan import LOOSE, NOTHING, Kept
from shipway.components.split.subject import Subject, passed

NEAR_SHARE = 0.05
MIN_ROWS = 5
CHANCE = 1e-3
DENSE = 1.5


def overlap_rules(subject: Subject) -> list[Rule]:
    """Equal rows, nearly equal rows and rows of one key in two splits."""
    return [_equal_rows(subject), _near_rows(subject), *_keys(subject)]


def _equal_rows(subject: Subject) -> Rule:
    repeats, parts = subject.repeats, subject.parts
    seen = np.repeat(hashes_in_splits(repeats, parts), repeats.sizes)
    mine = parts[repeats.rows]
    trained = (seen & 1 << TRAIN) != 0
    tested = int(((mine == TEST) & trained).sum())
    shared = tested + int(((mine == VALIDATION) & trained).sum())
    shared += int(((mine == TEST) & ((seen & 1 << VALIDATION) != 0)).sum())
    if not shared:
        return Rule("row_overlap", "pass", "No row stands in more than one split.", 0.0, "0")
    sentence = (
        f"{shared:,} rows stand in another split too, equal in all features: "
        f"{tested / (parts == TEST).sum():.1%} "
        "of the test rows were seen in training. Look for a column that is missing, or use "
        "split_strategy='hash', which keeps equal rows together."
    )
    return Rule("row_overlap", "warn", sentence, float(shared), "0", n=len(parts))


def _near_rows(subject: Subject) -> Rule:
    """Test rows that equal a training row but for one column, or for the way of writing."""
    shares = _near_shares(subject)
    loose = shares.pop(LOOSE, 0.0)
    single = sum(shares.values())
    share, rows = max(single, loose), int((subject.parts == TEST).sum())
    if share < NEAR_SHARE or share * rows < MIN_ROWS:
        sentence = f"{share:.2%} of the test rows nearly equal a training row."
        return Rule("near_duplicates", "pass", sentence, share, f"< {NEAR_SHARE:.0%}", n=rows)
    best = max(shares, key=lambda name: shares[name], default=LOOSE)
    how = "in all columns" if best == NOTHING else f"in every column but '{best}'"
    if loose >= single:
        how = "but for small and capital letters, spaces or rounding"
    apart = ", identifiers left out" if subject.scan.identifiers else ""
    sentence = (
        f"{share:.1%} of the test rows nearly equal a training row (most often {how}{apart}), so "
        "the test measures memory. Clean the writing and drop the copies before ingest, or name "
        "the column that the copies share as group_column."
    )
    return Rule("near_duplicates", "warn", sentence, share, f"< {NEAR_SHARE:.0%}", n=rows)


def _near_shares(subject: Subject) -> dict[str, float]:
    """The share of test rows that are near ones, by the column in which they differ.

    A pair differs in one column or, but for identifiers, in none, so that these add up.
    """
    exact, chances = _exactly_shared(subject), _chances(subject)

    def share(kept: Kept) -> float:
        seen, asked = _seen_in_training(kept, subject.parts, exact)
        return seen / asked

    found = {
        name: share(kept)
        for name, kept in subject.scan.left_out.items()
        if chances[name] <= np.log(CHANCE)
    }
    equal = found.get(NOTHING, 0.0)
    more = {n: share(kept) for n, kept in subject.scan.left_out_more.items() if n in found}
    telling = max((found[name] for name in found if name not in more), default=equal)
    return {
        name: one - (0.0 if name in (NOTHING, LOOSE) else equal)
        for name, one in found.items()
        # Where one column less finds many more pairs, rows are dense and pairs are chance.
        if more.get(name, 0.0) <= DENSE * (one + telling - equal)
    }


def _exactly_shared(subject: Subject) -> np.ndarray:
    """Rows whose equal stands in another split: they are told by a rule of their own."""
    bits = np.repeat(hashes_in_splits(subject.repeats, subject.parts), subject.repeats.sizes)
    return np.asarray(np.sort(subject.repeats.rows[(bits & (bits - 1)) != 0]))


def _seen_in_training(kept: Kept, parts: np.ndarray, exact: np.ndarray) -> tuple[int, int]:
    """How many of the kept test rows share their hash with a training row, and of how many."""
    mine = parts[kept.rows]
    trained = np.sort(kept.hashes[mine == TRAIN])
    asked = mine == TEST
    if len(exact):
        asked &= exact[np.minimum(np.searchsorted(exact, kept.rows), len(exact) - 1)] != kept.rows
    hashes = kept.hashes[asked]
    if not len(trained) or not len(hashes):
        return 0, max(1, len(hashes))
    places = np.minimum(np.searchsorted(trained, hashes), len(trained) - 1)
    return int((trained[places] == hashes).sum()), len(hashes)


def _chances(subject: Subject) -> dict[str, float]:
    """Training rows that would equal a test row by chance, were the columns independent.

    By column that is left out, and under `LOOSE`.
    """
    names = [name for name in subject.features if name not in subject.scan.identifiers]
    exact, loose = 0.0, 0.0  # logarithms, as many columns are beyond a float
    each = {}
    for name in names:
        column = subject.training.column(name)
        each[name] = _collision(subject.cells(name))
        other = loose_hashes(name, column)
        exact += each[name]
        loose += each[name] if other is None else _collision(other)
    rows = float(np.log((subject.parts == TRAIN).sum()))
    chances = {name: rows + exact - one for name, one in each.items()}
    return chances | {NOTHING: rows + exact, LOOSE: rows + loose}


def _collision(hashes: np.ndarray) -> float:
    """The logarithm of the chance that two rows have the same cell."""
    _, counts = np.unique(hashes, return_counts=True)
    rows = len(hashes)
    pairs = float((counts * (counts - 1.0)).sum()) / max(rows * (rows - 1.0), 1.0)
    return float(np.log(max(pairs, 1 / max(rows, 1))))


def _keys(subject: Subject) -> list[Rule]:
    if len(subject.scan.keys):
        return [_key_rule(subject)]
    found = []
    for name in subject.scan.identifiers:
        kind, reason = kind_of(subject.training.column(name))
        if name == subject.group_column or kind != "drop" or "identifier" not in reason:
            continue  # numbers and times that are met once are measures, not keys
        seen, asked = _seen_in_training(
            subject.scan.cells[name], subject.parts, np.empty(0, dtype=np.int64)
        )
        if seen >= MIN_ROWS:
            sentence = (
                f"'{name}' looks like a key, and {seen / asked:.1%} of the test rows have one "
                "that a training row has too. Keep the latest row of each, or split with "
                f"group_column='{name}'."
            )
            found.append(Rule("key_overlap", "warn", sentence, seen / asked, "0", name, asked))
    return found


def _key_rule(subject: Subject) -> Rule:
    repeats = find_repeats(subject.scan.keys)
    bits = np.repeat(hashes_in_splits(repeats, subject.parts), repeats.sizes)
    tested = (subject.parts[repeats.rows] == TEST) & ((bits & 1 << TRAIN) != 0)
    shared, rows = int(tested.sum()), int((subject.parts == TEST).sum())
    if not shared:
        return passed("key_overlap", "No key of a test row stands in training.", rows)
    sentence = (
        f"{shared:,} test rows ({shared / rows:.1%}) have a key that stands in training too. Keep "
        "one row of each key, or split by group_column."
    )
    return Rule("key_overlap", "fail", sentence, float(shared), "0", n=rows)
