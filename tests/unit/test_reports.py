import datetime
import decimal
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import Markup

from shipway.components.lib import charts
from shipway.components.lib.cells import cell, chip, isolated, number_text
from shipway.components.lib.decision import Decision, Rule, bound_rule
from shipway.components.lib.drawing import draw
from shipway.components.lib.metric_words import said_of
from shipway.components.lib.metrics import METRIC_NAMES
from shipway.components.lib.reports import MAX_BYTES, Report

ATTACK = "<script>alert('x')</script>\"&"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1234567, "1,234,567"),
        (20.0, "20"),
        (0.952345, "0.9523"),
        (12.3456, "12.35"),
        (1234.56, "1,235"),
        (123456.7, "123,457"),
        (9999.96, "10,000"),
        (0.00012345, "0.0001234"),
        (2.4e-16, "0"),
        (0.000012345, "1.234e-05"),
        (1.5e20, "1.500e20"),
        (-0.5, "-0.5"),
        (float("inf"), "infinite"),
    ],
)
def test_numbers_are_written_for_people(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(7), "7"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "yes"),
        (False, "no"),
        (decimal.Decimal("1.20"), "1.20"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (["a", 1.5], "a, 1.5"),
    ],
)
def test_cells_take_every_kind_of_value(value, text):
    assert str(cell(value)) == text


@pytest.mark.parametrize("value", [None, "", float("nan"), np.float64("nan")])
def test_nothing_is_a_dash(value):
    assert "&#8211;" in cell(value)


def test_right_to_left_names_are_isolated_and_long_ones_can_break():
    assert str(isolated("\u05e9\u05dd")).startswith("<bdi>")
    assert str(isolated("n" * 60)).count("<wbr>") == 2
    assert "<wbr>" not in isolated("several short words that are together rather long in all")


def full_report(text=ATTACK):
    report = Report(text, text, "fail")
    report.add_text(text, f"{text}\n\n- {text}\n- second\nafter")
    report.add_table(text, [text, "n"], [[text, 1.0], ["\ud83d\x00\u202e", None]], text)
    rows = [{"name": text, "value": 1.0}, {"name": "b", "value": float("nan")}]
    report.add_figure(text, charts.bars(rows, "name", "value", description=text), text)
    return report


class Skeleton(HTMLParser):
    """The tags and attribute names of a page, without what only depends on the text's length."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in ("wbr", "bdi"):
            self.tags.append((tag, [name for name, _ in attrs]))


def test_nothing_from_data_becomes_markup():
    page = full_report().render()
    assert (
        Skeleton(page).tags == Skeleton(full_report("a harmless text of that length").render()).tags
    )
    assert "\x00" not in page and "alert" in page


def test_page_is_ascii_with_a_charset_and_needs_no_network(tmp_path):
    report = full_report()
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_bytes()
    assert page.isascii() and b'<meta charset="utf-8">' in page
    links = set(re.findall(rb"https?://[^\"'\s)]+", page))
    assert links <= {b"http://www.w3.org/2000/svg", b"http://www.w3.org/1999/xlink"}
    assert b"@import" not in page and b"<link" not in page


def test_verdict_badge_has_a_sign_besides_its_colour():
    page = Report("t", "l", "rolled_back").render()
    assert 'class="chip poor"' in page and "rolled back" in page and "&#10005;" in page
    assert 'class="chip calm"' in chip("something else")
    assert '<span class="chip' not in Report("t", "l").render()


def test_long_tables_are_cut_and_say_so():
    report = Report("t", "l")
    report.add_table("Many", ["i"], [[i] for i in range(2_500)])
    assert "The first 2,000 of 2,500 rows are shown." in report.render()


def test_pages_stay_below_one_megabyte():
    report = Report("t", "l")
    for name in ("One", "Two"):
        report.add_table(name, ["a", "b"], [["x " * 200, i] for i in range(1_900)])
    page = report.render()
    assert len(page) <= MAX_BYTES
    assert re.search(r"The first [\d,]+ of 1,900 rows are shown", page)


def test_wide_tables_are_cut_and_say_so():
    report = Report("t", "l")
    report.add_table("Wide", [f"c{i}" for i in range(100)], [list(range(100))])
    page = report.render()
    assert "The first 60 of 100 columns are shown." in page and ">c60<" not in page


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="Row 1 of table 'T' has 1 cells, not 2"):
        Report("t", "l").add_table("T", ["a", "b"], [[1, 2], [3]])


def test_columns_of_numbers_are_aligned_right():
    report = Report("t", "l")
    report.add_table("T", ["name", "value"], [["a", 1.5], ["b", None]])
    report.add_table("u", ["what", "share"], [["a", "65.0%"], ["b", "-3%"]])
    assert '<th scope="col" class="n"><button type="button">value' in report.render()
    assert '<td class="n">65.0%' in report.render()


def test_decisions_show_failures_first_and_only_columns_that_say_something():
    rules = [
        bound_rule("auc", 0.95, minimum=0.9, n=100, interval=(0.9, 0.97)),
        Rule("odd", "warn", "Look at this."),
        bound_rule("log_loss", None, maximum=0.4),
    ]
    report = Report("t", "l")
    report.add_decision(Decision("model", "m", rules))
    page = report.render()
    assert page.index(">log_loss<") < page.index(">odd<") < page.index(">auc<")
    assert ">Interval<" in page and "0.9 to 0.97" in page and ">Slice<" not in page


def test_decisions_show_a_digest_by_its_first_digits_and_a_warning_by_its_word():
    digest = "0123456789ab" + "c" * 52
    report = Report("t", "l")
    report.add_decision(Decision("endpoint", "m", [Rule("r", "warn", "Look.", digest, digest)]))
    page = report.render()
    assert page.count(">0123456789ab\n") + page.count(">0123456789ab<") == 2
    assert digest not in page and "</b>warning<" in page


def test_an_empty_decision_says_that_nothing_passes():
    report = Report("t", "l")
    report.add_decision(Decision("data", "d"))
    assert "No rule was looked at" in report.render()


def test_charts_keep_the_page_colours_and_do_not_share_ids():
    rows = [{"x": i, "y": i * i, "who": "ab"[i % 2]} for i in range(10)]
    report = Report("t", "l")
    for _ in range(2):
        report.add_figure("F", charts.line(rows, "x", "y", "who", mark_x=3.0, diagonal=True))
        clipped = charts.line(rows, "x", "y")
        clipped["layer"][0]["mark"]["clip"] = True
        report.add_figure("F", clipped)
    page = report.render()
    assert "var(--c1)" in page and "var(--c2)" in page and "var(--line)" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert ids and len(ids) == len(set(ids))
    assert all(f'id="{used}"' in page for used in re.findall(r"url\(#([^)]+)\)", page))
    assert page.count('role="img" aria-label="Line chart of y by x."') == 4


@pytest.mark.parametrize(
    "spec",
    [
        charts.line([{"a.b": i, "y[0]": np.float64(i)} for i in range(5)], "a.b", "y[0]"),
        charts.line([{"x": "jan", "y": 1.0, "l": 0.5, "h": 2.0}], "x", "y", band=("l", "h")),
        charts.bars([{"n": "a", "v": 1, "g": g} for g in "xy"], "n", "v", "g"),
        charts.bars([{"n": "a", "v": 1, "l": 0, "h": 2}], "n", "v", interval=("l", "h")),
        charts.heatmap([{"x": 1, "y": "b", "v": 0.5}], "x", "y", "v", text=".0%"),
        charts.histogram([1.0, 2.0, float("nan")], "fare.usd"),
        charts.histogram({"no": [0.1, 0.2], "yes": [0.9]}, "score", share=True),
        charts.histogram([], "nothing"),
    ],
    ids=["dots", "band", "groups", "whiskers", "heat", "histogram", "samples", "empty"],
)
def test_every_chart_draws_marks(spec):
    svg = draw(spec)
    assert svg.startswith("<svg") and "NaN" not in svg and "undefined" not in svg


def test_histograms_count_every_value_once():
    values = np.random.default_rng(0).normal(size=1_000)
    rows = charts.histogram(values, "x", bins=7)["data"]["values"]
    assert len(rows) == 7 and sum(row["rows"] for row in rows) == 1_000


def test_long_lines_are_thinned_and_keep_their_ends():
    rows = [{"x": i, "y": i} for i in range(10_000)]
    kept = charts.line(rows, "x", "y")["data"]["values"]
    assert len(kept) == charts.MAX_POINTS and kept[0]["x"] == 0 and kept[-1]["x"] == 9_999


def test_series_of_lines_differ_by_more_than_their_colour():
    rows = [{"x": i, "y": i, "who": name} for name in "abc" for i in range(3)]
    svg = draw(charts.line(rows, "x", "y", "who"))
    lines = set(re.findall(r'stroke-dasharray="([^"]*)"', svg))
    assert len(lines) == 3 and len(set(re.findall(r'stroke="(var\(--c\d\))"', svg))) == 3


def test_every_metric_is_explained():
    for names in METRIC_NAMES.values():
        assert all(said_of(name).endswith(" is better") for name in names)


def test_sparklines_are_small_and_take_odd_counts():
    drawn = charts.sparkline([1, 0, 5, float("nan")], ATTACK)
    assert isinstance(drawn, Markup) and len(drawn) < 300 and "<script" not in drawn
    assert charts.sparkline([0, 0], "none") == "" and charts.sparkline([], "none") == ""


# Colours: Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color
# vision deficiency", 2009, at full severity.
SIGHT = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "no green": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9690]],
    "no blue": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def palettes():
    page = Report("t", "l").render()
    for block in re.findall(r":root\{([^}]*)\}", page):
        found = dict(re.findall(r"--([a-z0-9]+):#([0-9a-f]{6}|[0-9a-f]{3})\b", block))
        names = ["paper", *(f"c{i}" for i in range(1, 7))]
        texts = [found[name] if len(found[name]) == 6 else found[name] * 2 for name in names]
        eights = np.array([[int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)] for text in texts])
        yield np.where(eights <= 0.04045, eights / 12.92, ((eights + 0.055) / 1.055) ** 2.4)


def lab(light):
    xyz = light @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    part = np.cbrt(np.clip(xyz / [0.9505, 1, 1.089], 1e-6, None))
    return np.stack([116 * part[1] - 16, 500 * (part[0] - part[1]), 200 * (part[1] - part[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_series_are_told_apart_by_colour_blind_readers_and_from_the_paper(sight):
    found = list(palettes())
    assert len(found) == 2
    for paper, *series in found:
        bright = [colour @ LUMINANCE for colour in (paper, *series)]
        contrast = [(max(bright[0], b) + 0.05) / (min(bright[0], b) + 0.05) for b in bright[1:]]
        assert min(contrast) >= 3
        seen = [lab(np.clip(np.array(SIGHT[sight]) @ colour, 0, 1)) for colour in series]
        apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(apart) >= 10


def test_a_chart_has_its_numbers_in_a_folded_table():
    report = Report("t", "l")
    rows = [{"x": i, "y": i / 2, "again": i} for i in range(3)]
    report.add_figure("Growth", charts.line(rows, "x", "y"))
    page = report.render()
    folded = re.search("<details><summary>The numbers</summary>(.*?)</details>", page, re.S)[1]
    assert re.findall(r"<button[^>]*>(\w+)<", folded) == ["x", "y"]
    assert re.findall(r'<td class="n">([\d.]+)', folded) == ["0", "0", "1", "0.5", "2", "1"]


def test_paper_leaves_out_long_tables_and_what_follows_its_end_and_says_so():
    report = Report("t", "l", "fail", ["too few rows", ATTACK])
    report.add_table("Long", ["a"], [[i] for i in range(20)])
    report.end_paper()
    report.add_text("Details", "many")
    page = report.render()
    assert "12 more rows on the page." in page
    assert '<section class="text screen">' in page
    assert "On the page and not on paper: Details." in page
    assert "<li>too few rows</li>" in page and ATTACK not in page
