"""Statistics as they are handed on: of private columns they tell counts and no values."""

from collections.abc import Sequence
from typing import Any

from shipway.components.lib.private import PRIVATE, unnamed_value
from shipway.components.validate.facts import ColumnFacts

# What TFDV tells of a column's values, by kind of statistics; the rest are counts and lengths.
KEPT = {
    "num_stats": ("common_stats", "num_zeros"),
    "string_stats": ("common_stats", "unique", "avg_length"),
    "bytes_stats": ("common_stats", "unique", "avg_num_bytes"),
    "struct_stats": ("common_stats",),
}


def without_private_values(statistics: Any, facts: Sequence[ColumnFacts]) -> Any:
    """A copy of the statistics without the values of private columns.

    Such a column carries a custom statistic "private", as zeros stand where figures were.

    Args:
        statistics: TFDV's DatasetFeatureStatisticsList; slices are its further datasets.
        facts: of every column.
    """
    private = {fact.name for fact in facts if fact.private}
    if not private:
        return statistics
    shared = type(statistics)()
    shared.CopyFrom(statistics)
    for number, dataset in enumerate(shared.datasets):
        column = next((name for name in private if dataset.name.startswith(f"{name}=")), "")
        if number and column:
            dataset.name = unnamed_value(column, number)
        for feature in dataset.features:
            if feature.path.step[0] in private:
                _strip(feature)
        crossed = [c for c in dataset.cross_features if not private & set(_ends(c))]
        del dataset.cross_features[:]
        dataset.cross_features.extend(crossed)
    return shared


def _ends(cross: Any) -> tuple[str, ...]:
    return tuple(path.step[0] for path in (cross.path_x, cross.path_y) if path.step)


def _strip(feature: Any) -> None:
    kind = feature.WhichOneof("stats")
    if kind is None:
        return
    stats = getattr(feature, kind)
    for name in stats.DESCRIPTOR.fields_by_name:
        if name not in KEPT[kind]:
            stats.ClearField(name)
    del feature.custom_stats[:]
    feature.custom_stats.add(name=PRIVATE, num=1)
