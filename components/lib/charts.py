"""Vega-Lite specs of the few chart shapes that the reports use, and a cheap inline sparkline.

Colours are CSS variables of the report's page, so that one SVG reads in light and in dark mode.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

Spec = dict[str, Any]
Row = Mapping[str, Any]

SERIES = [f"var(--c{index})" for index in range(1, 7)]
DASHES = [[1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [4, 1], [12, 4]]
WIDTH, HEIGHT = 640, 280
MAX_POINTS = 400
MAX_BARS = 40


def line(
    rows: Sequence[Row],
    x: str,
    y: str,
    color: str | None = None,
    *,
    band: tuple[str, str] | None = None,
    diagonal: bool = False,
    mark_x: float | None = None,
    points: bool = False,
    y_zero: bool = False,
    description: str = "",
) -> Spec:
    """A line chart; field names are the axis titles.

    Args:
        rows: one mapping a point, in drawing order; thinned to 400 points a series.
        x: field of the horizontal axis: numbers, or texts in their order.
        y: field of the vertical axis, numbers.
        color: field that tells the series apart.
        band: fields of the lower and upper end of a shaded band, e.g. an interval.
        diagonal: draw y = x from 0 to 1 for comparison, as for ROC and calibration.
        mark_x: draw a vertical rule there, e.g. the best iteration.
        points: show each point.
        y_zero: start the vertical axis at zero.
        description: what the chart shows, read out by screen readers.
    """
    shown = _thinned(rows, color)
    encoding = {"x": _axis(rows, x), "y": _axis(rows, y) | {"scale": {"zero": y_zero}}}
    if color:
        encoding["color"] = _series(color) | {"legend": _STROKES}
        encoding["strokeDash"] = _series(color) | {"scale": {"range": DASHES}}
    layers: list[Spec] = []
    if band:
        ends = {
            "y": {**encoding["y"], "field": _path(band[0]), "title": y},
            "y2": {"field": _path(band[1])},
        }
        mark = {"type": "area", "opacity": 0.18}
        layers.append({"mark": mark, "encoding": {**encoding, **ends}})
    if diagonal:
        corners = [{x: 0, y: 0}, {x: 1, y: 1}]
        layers.append(_layer(corners, {"type": "line", **_QUIET}, x, y))
    if mark_x is not None:
        rule: Spec = {"data": {"values": [{x: mark_x}]}, "mark": {"type": "rule", **_QUIET}}
        layers.append({**rule, "encoding": {"x": {"field": _path(x), "type": "quantitative"}}})
    drawn = {"type": "line", "point": {"size": 36} if points else False}
    layers.append({"mark": drawn, "encoding": encoding})
    return _chart(shown, layers, description or f"Line chart of {y} by {x}.")


def bars(
    rows: Sequence[Row],
    category: str,
    value: str,
    color: str | None = None,
    *,
    interval: tuple[str, str] | None = None,
    description: str = "",
) -> Spec:
    """Horizontal bars, one a row, in the order given; the first 40 are drawn.

    Args:
        rows: one mapping a bar.
        category: field that names the bar.
        value: field of its length.
        color: field that splits a category into bars side by side.
        interval: fields of the low and high end of a whisker.
        description: what the chart shows, read out by screen readers.
    """
    shown = list(rows)[:MAX_BARS]
    names = list(dict.fromkeys(str(row[category]) for row in shown))
    axis = {"labelLimit": 260, "ticks": False}
    encoding: Spec = {
        "y": {
            "field": _path(category),
            "type": "nominal",
            "sort": names,
            "title": None,
            "axis": axis,
        },
        "x": {"field": _path(value), "type": "quantitative", "title": value},
    }
    if color:
        encoding |= {"color": _series(color), "yOffset": {"field": _path(color)}}
    layers: list[Spec] = [{"mark": {"type": "bar", "cornerRadiusEnd": 2}, "encoding": encoding}]
    if interval:
        ends = {"x": {"field": _path(interval[0]), "type": "quantitative", "title": value}}
        whisker = {**encoding, **ends, "x2": {"field": _path(interval[1])}}
        whisker.pop("color", None)
        layers.append(
            {"mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 2}, "encoding": whisker}
        )
    groups = len({str(row[color]) for row in shown}) if color else 1
    spec = _chart(_named(shown, category), layers, description or f"Bars of {value} by {category}.")
    return spec | {"height": {"step": 8 + 12 * groups, "for": "position"}}


def heatmap(
    rows: Sequence[Row], x: str, y: str, value: str, *, text: str = "", description: str = ""
) -> Spec:
    """A grid of cells, darker where the value is larger, each with its number.

    Args:
        rows: one mapping a cell.
        x: field of the columns, in order of appearance.
        y: field of the rows, in order of appearance.
        value: field of the shade, 0 or larger.
        text: d3 number format of the number in a cell, such as ".0%".
        description: what the chart shows, read out by screen readers.
    """
    columns = list(dict.fromkeys(str(row[x]) for row in rows))
    lines = list(dict.fromkeys(str(row[y]) for row in rows))
    place = {
        "x": {"field": _path(x), "type": "nominal", "sort": columns, "axis": {"labelAngle": 0}},
        "y": {"field": _path(y), "type": "nominal", "sort": lines},
    }
    shade = {"field": _path(value), "type": "quantitative", "legend": None}
    shaded = {**place, "opacity": shade | {"scale": {"zero": True, "range": [0.03, 0.55]}}}
    number: Spec = {"field": _path(value), "type": "quantitative"} | (
        {"format": text} if text else {}
    )
    layers = [
        {"mark": {"type": "rect", "color": SERIES[0]}, "encoding": shaded},
        {"mark": {"type": "text", "color": "var(--ink)"}, "encoding": {**place, "text": number}},
    ]
    side = max(28, min(64, 560 // max(1, len(columns))))
    named = _named(_named(rows, x), y)
    spec = _chart(named, layers, description or f"Heat map of {value} by {y} and {x}.")
    return spec | {"width": {"step": side}, "height": {"step": 34}}


def histogram(
    values: Sequence[float] | np.ndarray | Mapping[str, Sequence[float] | np.ndarray],
    x: str,
    *,
    bins: int = 40,
    share: bool = False,
    description: str = "",
) -> Spec:
    """Counts in bins of equal width; several named samples are drawn as outlines over each other.

    Args:
        values: the sample, or samples by name; non-finite values are left out.
        x: title of the horizontal axis.
        bins: number of bins over the joint range.
        share: show the share of each sample instead of its count.
        description: what the chart shows, read out by screen readers.
    """
    samples = values if isinstance(values, Mapping) else {"": values}
    arrays = {name: np.asarray(sample, dtype=np.float64) for name, sample in samples.items()}
    arrays = {name: array[np.isfinite(array)] for name, array in arrays.items()}
    full = [array for array in arrays.values() if array.size]
    edges = np.histogram_bin_edges(np.concatenate(full) if full else np.zeros(1), bins=bins)
    height = "share" if share else "rows"
    rows: list[Row] = []
    for name, array in arrays.items():
        counts = np.histogram(array, bins=edges)[0] / (max(1, array.size) if share else 1)
        ends = zip(edges[:-1], edges[1:], counts, strict=True)
        bars_of = [{"low": float(a), "high": float(b), height: float(c)} for a, b, c in ends]
        rows += [bar | {"sample": name} for bar in bars_of]
    encoding: Spec = {
        "x": {"field": "low", "type": "quantitative", "bin": {"binned": True}, "title": x},
        "x2": {"field": "high"},
        "y": {"field": height, "type": "quantitative", "stack": None},
    }
    mark: Spec = {"type": "bar", "binSpacing": 1}
    if isinstance(values, Mapping):
        encoding["color"] = _series("sample") | {"title": None}
        mark |= {"opacity": 0.5, "binSpacing": 0}
    return _chart(rows, [{"mark": mark, "encoding": encoding}], description or f"Histogram of {x}.")


def overlaid(rows: Sequence[Row], x: str, y: str, color: str, *, description: str = "") -> Spec:
    """Bars of two series over each other, for shares in bins that have names.

    Args:
        rows: one mapping a bar.
        x: field that names the bin, in order of appearance; the first 40 are drawn.
        y: field of the height, 0 or larger.
        color: field that tells the series apart.
        description: what the chart shows, read out by screen readers.
    """
    names = list(dict.fromkeys(str(row[x]) for row in rows))[:MAX_BARS]
    axis = {"labelAngle": -40, "labelLimit": 130, "labelOverlap": False, "ticks": False}
    encoding: Spec = {
        "x": {"field": _path(x), "type": "nominal", "sort": names, "title": None, "axis": axis},
        "y": {"field": _path(y), "type": "quantitative", "stack": None, "title": y},
        "color": _series(color) | {"title": None},
    }
    shown = [row for row in _named(rows, x) if row[x] in names]
    mark = {"type": "bar", "opacity": 0.5}
    spec = _chart(shown, [{"mark": mark, "encoding": encoding}], description or f"{y} by {x}.")
    return spec | {"height": 170}


def sparkline(counts: Sequence[float], label: str, width: int = 96, height: int = 20) -> Markup:
    """A few bars as inline SVG of some 200 bytes, for a table cell.

    Args:
        counts: the heights, left to right; shares the width evenly.
        label: what it shows, read out by screen readers.
        width: pixels.
        height: pixels.
    """
    top = max((count for count in counts if math.isfinite(count)), default=0)
    if top <= 0:
        return Markup("")
    step = width / len(counts)
    path = ""
    for index, count in enumerate(counts):
        if count > 0:
            tall = max(1.0, height * count / top)
            path += f"M{index * step:.3g} {height}v-{tall:.3g}h{max(1.0, step - 1):.3g}V{height}z"
    return Markup('<svg class="spark" role="img" aria-label="{}" width="{}" height="{}">').format(
        label, width, height
    ) + Markup(f'<path d="{path}"/></svg>')


def spark_overlay(
    first: Sequence[float], second: Sequence[float], label: str, width: int = 120, height: int = 28
) -> Markup:
    """Bars of one series with the outline of another over them, for a table cell.

    Args:
        first: the heights of the bars, left to right.
        second: the heights of the outline, as many.
        label: what it shows, read out by screen readers.
        width: pixels.
        height: pixels.
    """
    top = max([*first, *second], default=0)
    if top <= 0 or not math.isfinite(top):
        return Markup("")
    step = width / len(first)
    low, high = (
        "".join(f"V{height - height * one / top:.3g}h{step:.3g}" for one in series)
        for series in (first, second)
    )
    return Markup(
        '<svg class="spark" role="img" aria-label="{}" width="{}" height="{}">'
        '<path d="M0 {}{}V{}z" opacity=".45"/>'
        '<path d="M0 {}{}V{}" style="fill:none;stroke:var(--c2);stroke-width:1.5"/></svg>'
    ).format(label, width, height, height, Markup(low), height, height, Markup(high), height)


_QUIET = {"strokeDash": [4, 4], "color": "var(--soft)"}
_STROKES = {"symbolType": "stroke", "symbolSize": 500}  # long enough to show the dashes


def _chart(rows: Sequence[Row], layers: list[Spec], description: str) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": description,
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": [dict(row) for row in rows]},
        "layer": layers,
    }


def _layer(rows: Sequence[Row], mark: Spec, x: str, y: str) -> Spec:
    fields = {"x": x, "y": y}
    encoding = {
        axis: {"field": _path(name), "type": "quantitative"} for axis, name in fields.items()
    }
    return {"data": {"values": list(rows)}, "mark": mark, "encoding": encoding}


def _axis(rows: Sequence[Row], field: str) -> Spec:
    numeric = all(isinstance(row.get(field), int | float | np.number | None) for row in rows)
    if numeric:
        return {"field": _path(field), "type": "quantitative", "title": field}
    return {"field": _path(field), "type": "ordinal", "sort": None, "title": field}


def _path(field: str) -> str:
    """A field name that Vega does not read as a path into nested objects."""
    return re.sub(r"([.\[\]'\"\\])", r"\\\1", field)


def _series(field: str) -> Spec:
    return {"field": _path(field), "type": "nominal", "sort": None, "scale": {"range": SERIES}}


def _named(rows: Sequence[Row], field: str) -> list[dict[str, Any]]:
    return [{**row, field: str(row[field])} for row in rows]


def _thinned(rows: Sequence[Row], color: str | None) -> list[Row]:
    series: dict[Any, list[Row]] = {}
    for row in rows:
        series.setdefault(row[color] if color else None, []).append(row)
    thin: list[Row] = []
    for points in series.values():
        take = np.unique(np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS)).astype(int))
        thin += [points[index] for index in take]
    return thin
