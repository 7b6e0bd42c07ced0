"""Vega-Lite specs drawn as SVG for the inside of a page, in the page's own colours."""

import math
import re
from typing import Any

from markupsafe import Markup

_SPOKEN = re.compile(r' (?:aria-[a-z]+|role)="[^"]*"')
_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": "transparent"},
    "axis": {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 14,
        "labelSeparation": 6,
        "titleFontSize": 14,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "tickCount": 8,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--soft)",
        "labelFontSize": 14,
        "titleFontSize": 14,
        "titleFontWeight": "normal",
        "symbolSize": 160,
    },
    "mark": {"color": "var(--c1)"},
    "line": {"strokeWidth": 2.4},
    "text": {"color": "var(--ink)", "fontSize": 14},
}


def draw(spec: dict[str, Any], prefix: str = "") -> Markup:
    """Draw a chart.

    The first call in a process costs about a second (vl-convert starts a JavaScript engine), each
    further one 0.05 s.

    Args:
        spec: Vega-Lite with its data inline; colours may be CSS variables.
        prefix: put before the ids in the SVG. Vega numbers its clip paths from 0 in every chart,
            so that two charts on one page need different prefixes.
    """
    import vl_convert

    plain = _plain(spec)
    plain["config"] = _CONFIG | plain.get("config", {})
    svg = vl_convert.vegalite_to_svg(plain)
    # The page describes the chart as a whole, and lists its numbers: what Vega says of each mark
    # would only make it three times as large.
    svg = re.sub(r"<[a-z][^<>]*>", lambda tag: _SPOKEN.sub("", tag[0]), svg)
    return Markup(re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg))


def _plain(value: Any) -> Any:
    """A spec as JSON knows it: NumPy scalars as numbers, what is not finite as null."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
