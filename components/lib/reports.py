"""One look for every report: a single HTML file without network, light and dark, good on paper.

It works in a sandboxed frame that allows scripts only, as the Kubeflow dashboard shows it.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from shipway.components import __version__
from shipway.components.lib.cells import cell, chip, clipped, isolated, stands_right
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.drawing import draw
from shipway.components.lib.files import write_text_aside

MAX_BYTES = 950_000
MAX_ROWS = 2_000
MAX_COLUMNS = 60
MAX_NAME = 120
PAPER_ROWS = 8
_DIGEST = re.compile("[0-9a-f]{64}")

logger = logging.getLogger(__name__)


@dataclass
class _Block:
    """One section of the page; `kind` is "text", "table" or "figure".

    The table of a figure holds its numbers, and is folded.
    """

    kind: str
    heading: Markup
    note: Markup = field(default_factory=Markup)
    name: str = ""
    parts: list[tuple[str, list[Markup]]] = field(default_factory=list)
    head: list[tuple[Markup, str]] = field(default_factory=list)
    rows: list[list[Markup]] = field(default_factory=list)
    total: int = 0
    spec: dict[str, Any] = field(default_factory=dict)
    svg: Markup = field(default_factory=Markup)
    label: str = ""
    on_paper: bool = True

    @property
    def cut(self) -> str:
        """What the table leaves out, if anything."""
        shown = len(self.rows)
        return (
            f"The first {shown:,} of {self.total:,} rows are shown." if shown < self.total else ""
        )

    @property
    def cut_on_paper(self) -> str:
        """What paper leaves out of the table, if anything."""
        more = self.total - PAPER_ROWS
        return f"{more:,} more row{'s' if more > 1 else ''} on the page." if more > 0 else ""


class Report:
    """A page that is put together section by section and saved as one HTML file.

    Every text may come from data: all of it is escaped, isolated and shortened. Cells may be
    numbers, texts, booleans, dates, None, or `Markup` from `cells.chip` and `charts.sparkline`.
    """

    def __init__(
        self, title: str, lead: str, verdict: str = "", reasons: Sequence[str] = ()
    ) -> None:
        """Begin a page.

        Args:
            title: the heading.
            lead: one sentence that says what came out.
            verdict: "pass", "fail", "blessed", ...: shown as a badge; empty for none.
            reasons: why, in plain words, the gravest first.
        """
        self._title = title
        self._lead = lead
        self._verdict = verdict
        self._reasons = reasons
        self._blocks: list[_Block] = []
        self._data: list[tuple[str, Markup]] = []
        self._on_paper = True

    def end_paper(self) -> None:
        """Sections that are added from here on stand on the page, and are not printed."""
        self._on_paper = False

    def _add(self, block: _Block) -> None:
        block.on_paper = self._on_paper
        self._blocks.append(block)

    def add_text(self, heading: str, text: str) -> None:
        """Add paragraphs, parted by blank lines; lines that begin with "- " become a list."""
        block = _Block("text", isolated(heading))
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            prose: list[str] = []
            for line in paragraph.splitlines():
                if not line.lstrip().startswith("- "):
                    prose.append(line.strip())
                    continue
                if prose:
                    block.parts.append(("text", [isolated(" ".join(prose), 4_000)]))
                    prose = []
                if not block.parts or block.parts[-1][0] != "list":
                    block.parts.append(("list", []))
                block.parts[-1][1].append(isolated(line.lstrip()[2:], 4_000))
            if prose:
                block.parts.append(("text", [isolated(" ".join(prose), 4_000)]))
        self._add(block)

    def add_table(
        self, heading: str, columns: list[str], rows: Sequence[Sequence[object]], note: str = ""
    ) -> None:
        """Add a sortable table; past 2,000 rows or 60 columns it is cut, and the page says so.

        Args:
            heading: of the section; may be empty.
            columns: names of the columns.
            rows: one sequence of cells a row, as long as `columns`.
            note: a sentence above the table.

        Raises:
            ValueError: a row is not as long as `columns`.
        """
        for index, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(
                    f"Row {index} of table '{heading}' has {len(row)} cells, not {len(columns)}."
                )
        wide = len(columns) > MAX_COLUMNS
        hint = f" The first {MAX_COLUMNS} of {len(columns):,} columns are shown." if wide else ""
        block = _Block("table", isolated(heading), isolated(note + hint, 4_000))
        block.name = clipped(heading or f"Table {len(self._blocks) + 1}")
        _fill(block, columns, rows)
        self._add(block)

    def add_figure(self, heading: str, vega_lite_spec: dict[str, Any], note: str = "") -> None:
        """Add a chart, drawn when the page is saved, with its numbers in a folded table.

        Args:
            heading: of the section; may be empty.
            vega_lite_spec: with its data inline; its "description" is the text for screen readers.
            note: a sentence below the chart.
        """
        label = str(vega_lite_spec.get("description") or f"{heading}. {note}")
        block = _Block("figure", isolated(heading), isolated(note, 4_000), spec=vega_lite_spec)
        block.label = clipped(label, 1_000)
        block.name = clipped(f"Numbers of chart {len(self._blocks) + 1}, {heading}".rstrip(", "))
        _fill(block, *_numbers_of(vega_lite_spec))
        self._add(block)

    def add_data(self, name: str, value: Any) -> None:
        """Put JSON into the page for programs; it is not shown, and never cut.

        Args:
            name: the id of its `<script type="application/json">`.
            value: what `json` can write, without NaN or infinity.
        """
        # "<" would end the script, or open a comment in it.
        text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        self._data.append((name, Markup(text)))

    def add_decision(self, decision: Decision) -> None:
        """Add a gate's rules: failures first, then warnings, then what passed."""
        order = {"fail": 0, "warn": 1, "pass": 2}
        rules = sorted(decision.rules, key=lambda rule: order[rule.verdict])
        fields = {
            "Verdict": lambda rule: chip(rule.verdict),
            "Rule": lambda rule: rule.name,
            "What it says": lambda rule: rule.sentence,
            "Value": lambda rule: _short(rule.value),
            "Bound": lambda rule: _short(rule.bound),
            "Slice": lambda rule: rule.slice,
            "Rows": lambda rule: rule.n,
            "Interval": _interval,
        }
        rows = [[get(rule) for get in fields.values()] for rule in rules]
        always = ("Verdict", "Rule", "What it says")
        keep = [
            index
            for index, name in enumerate(fields)
            if name in always or any(row[index] not in (None, "") for row in rows)
        ]
        note = "" if rules else "No rule was looked at, so nothing passes."
        names = [list(fields)[index] for index in keep]
        heading = f"Rules of the {decision.gate} gate"
        self.add_table(heading, names, [[row[index] for index in keep] for row in rows], note)

    def render(self) -> str:
        """The page as ASCII text under 1 MB; long tables are cut, then figures left out, to fit."""
        for number, block in enumerate(self._blocks):
            if block.kind == "figure" and not block.svg and block.spec:
                block.svg = draw(block.spec, prefix=f"f{number}-")
        page = self._page()
        while len(page) > MAX_BYTES and _shrink(self._blocks):
            page = self._page()
        return page

    def save(self, path: Path) -> None:
        """Write the page to `path`, whole or not at all."""
        write_text_aside(Path(path), self.render())

    def _page(self) -> str:
        text: str = _template().render(
            title=isolated(self._title),
            badge=chip(self._verdict) if self._verdict else "",
            lead=isolated(self._lead, 2_000),
            reasons=[isolated(reason, 2_000) for reason in self._reasons],
            off_paper=Markup(", ").join(
                block.heading for block in self._blocks if block.heading and not block.on_paper
            ),
            blocks=self._blocks,
            data=self._data,
            version=__version__,
        )
        return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


@cache
def _template() -> Any:
    source = resources.files("shipway.components.lib").joinpath("report.html.j2")
    return Environment(autoescape=True).from_string(source.read_text(encoding="utf-8"))


def _fill(block: _Block, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    shown = [list(row[:MAX_COLUMNS]) for row in rows[:MAX_ROWS]]
    names = enumerate(columns[:MAX_COLUMNS])
    block.head = [(isolated(name, MAX_NAME), _look([row[i] for row in shown])) for i, name in names]
    block.rows, block.total = [[cell(value) for value in row] for row in shown], len(rows)


def _numbers_of(spec: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    """The rows that a chart draws; a column that repeats another one is left out."""
    rows = spec.get("data", {}).get("values", [])
    columns: dict[str, list[object]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if values not in columns.values() and any(value != "" for value in values):
            columns[name] = values
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _look(values: list[object]) -> str:
    """The class of a column: "n" for mostly numbers or shares, "w" for long texts, else none."""
    known = [value for value in values if value is not None and value != ""]
    if 2 * sum(stands_right(value) for value in known) > len(known):
        return "n"
    # Markup that begins with a tag is a chip or a drawing, or holds more than its text shows.
    drawn = [isinstance(value, Markup) and value.startswith("<") for value in known]
    texts = [value for value, is_drawn in zip(known, drawn, strict=True) if not is_drawn]
    return "w" if any(isinstance(text, str) and len(text) > 24 for text in texts) else ""


def _short(value: object) -> object:
    """A SHA-256 by its first digits, as sentences name it; anything else as it stands."""
    return value[:12] if isinstance(value, str) and _DIGEST.fullmatch(value) else value


def _interval(rule: Rule) -> object:
    return f"{rule.interval[0]:.4g} to {rule.interval[1]:.4g}" if rule.interval else ""


def _shrink(blocks: list[_Block]) -> bool:
    """Make the page smaller: halve the longest table, or drop the largest chart."""
    tables = [block for block in blocks if len(block.rows) > 50]
    if tables:
        longest = max(tables, key=lambda block: sum(map(len, map(str, block.rows))))
        longest.rows = longest.rows[: max(50, len(longest.rows) * 3 // 4)]
        return True
    charts = [block for block in blocks if block.svg]
    if not charts:
        logger.warning("The report is larger than 1 MB and cannot be cut.")
        return False
    largest = max(charts, key=lambda block: len(block.svg))
    largest.svg, largest.note = Markup(), Markup("This chart was too large to be drawn here.")
    largest.spec = {}
    return True
