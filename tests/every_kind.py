"""A table with a column of every kind that values tell or a person asks for; hostile cells."""

import math

import numpy as np
import pyarrow as pa

from shipway.components.features.overrides import read_overrides
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import infer_task

OVERRIDES = """
columns:
  zone: {kind: category}
  shop: {kind: category}
  grade: {kind: ordered, order: [3, 1, 2]}
  colour: {kind: ordered, order: [red, amber, green]}
  starts: {kind: clock, parts: [minutes, sin, cos]}
  took: {kind: duration}
  note: {kind: text, buckets: 8}
  seen: {kind: date, parts: [month.sin, weekday.cos, hour, year], reference: booked}
  paid: {kind: date, parts: [days], reference: 2024-01-15}
  north: {kind: coordinates, longitude: east}
  room: {kind: drop}
"""
ASKED = {
    "zone": "category", "shop": "category_many", "grade": "ordered", "colour": "ordered",
    "starts": "clock", "took": "duration", "note": "text", "seen": "datetime",
    "booked": "datetime", "paid": "datetime", "north": "coordinates", "east": "number",
    "opens": "clock", "size": "ordered", "lasted": "duration",
}  # fmt: skip


def every_kind(rows: int = 400, seed: int = 0) -> pa.Table:
    """Training rows; "zone", "starts", "note", "north", "size" and "seen" miss cells."""
    draw = np.random.default_rng(seed)

    def some(values: list) -> list:
        return [None if draw.random() < 0.1 else value for value in values]

    hours, minutes = draw.integers(0, 24, rows), draw.integers(0, 60, rows)
    seconds = draw.integers(0, 10_000, rows)
    micros = draw.integers(1_700_000_000, 1_720_000_000, rows) * 1_000_000
    booked = micros - draw.integers(0, 9_000_000, rows) * 1_000_000
    zone = draw.integers(1, 9, rows)
    words = draw.choice(["broken lamp", "late", "lamp was late again", "Zürich, 東京"], rows)
    columns = {
        "zone": pa.array(some(zone.tolist())),
        "shop": pa.array(draw.integers(100, 150, rows).astype(np.float64)),
        "grade": pa.array(draw.integers(1, 4, rows)),
        "colour": draw.choice(["red", "green", "amber", "blue?"], rows, p=[0.4, 0.3, 0.2, 0.1]),
        "starts": pa.array(some((hours * 100 + minutes).tolist())),
        "opens": [f"{h:02}:{m:02}" for h, m in zip(hours[::-1], minutes, strict=True)],
        "took": [f"{s // 3600}h {s % 3600 // 60}m" for s in seconds],
        "lasted": [f"{s} seconds" for s in seconds[::-1]],
        "note": pa.array(some(words.tolist())),
        "seen": pa.array(some(micros.tolist()), pa.timestamp("us")),
        "booked": pa.array(booked, pa.timestamp("us", tz="Europe/Berlin")),
        "paid": pa.array([str(np.datetime64(int(m), "us"))[:10] for m in micros]),
        "north": pa.array(some(draw.normal(41.9, 0.05, rows).tolist())),
        "east": pa.array(draw.normal(-87.7, 0.05, rows)),
        "size": pa.array(some(draw.choice(["S", "M", "XL"], rows).tolist())),
        "room": pa.array([f"r{i}" for i in draw.integers(0, 9, rows)]),
        "label": np.where(zone + draw.normal(size=rows) > 5, "good", "bad"),
    }
    return pa.table(columns)


def planned(table: pa.Table, text: str = OVERRIDES) -> FeaturePlan:
    """The plan of a table with overrides."""
    asked = read_overrides(text, table.column_names, {"label": "the label"})
    return fit_plan(table, "label", infer_task(table["label"]), asked=asked)


HOSTILE = {
    "zone": (pa.int64(), [1, 2, 99, -1, 2**63 - 1, -(2**63), 0]),
    "shop": (pa.float64(), [100.0, 100.5, math.nan, math.inf, -0.0, 1e300, 2.0**53]),
    "grade": (pa.int64(), [3, 4, 0, 2**40]),
    "colour": (pa.string(), [" amber ", "AMBER", "", "\u2028", "blue?", "🛳"]),
    "starts": (pa.int64(), [0, 2400, 2401, 1360, -5, 2**62, 59]),
    "opens": (pa.string(), ["24:00", "24:01", "1:05 pm", "13:05 PM", "", "٣:٣٠", "9:60", " 7:5"]),
    "took": (
        pa.string(),
        ["00:12:30", "PT1H30M", "P", "1h 30", "9" * 99 + "h", "", "1 day 2 h"],
    ),
    "lasted": (pa.string(), ["5 s", "-5 s", "1e3 s", "2 weeks", "٣ min", "1 day, 02:00:00.5", "h"]),
    "note": (pa.string(), ["", " ", "a a a", "İstanbul\u0301", "\x00", "x" * 5000, "lamp"]),
    "seen": (pa.timestamp("us"), [0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999]),
    "booked": (pa.timestamp("us", tz="Europe/Berlin"), [0, -1, 1_711_846_800_000_000]),
    "paid": (pa.string(), ["2024-02-29", "2023-02-29", "today", "", "9999-12-31T23:59:59-05:00"]),
    "north": (pa.float64(), [90.0, -0.0, 1e308, -1e308, math.nan, math.inf, 5e-324, 41.9]),
    "east": (pa.float64(), [1e308, 0.0, 1e308, 1e308, -87.7, 5e-324, math.nan, -87.7]),
    "size": (pa.string(), ["M", " XL", "xl", "XXL", "", "🛳"]),
}


def hostile() -> pa.Table:
    """Rows of hostile cells, and a last one of nulls."""
    rows = max(len(values) for _, values in HOSTILE.values()) + 1
    return pa.table(
        {
            name: pa.array((values + [None] * rows)[:rows], kind)
            for name, (kind, values) in HOSTILE.items()
        }
    )
