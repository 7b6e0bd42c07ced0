"""A believable table of telephone customers, made from a seed: for the first run and for tests."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import aside

PLANS = ["Prepaid", "Basic", "Family", "Unlimited"]
PAYMENTS = ["Card", "Direct debit", "Invoice", "Voucher"]
CHANNELS = ["Shop", "Web", "Partner", "Telephone"]
START = np.datetime64("2024-01-01", "s")


def churn_table(rows: int, seed: int = 0, leak: bool = False, drift: bool = False) -> pa.Table:
    """Customers, some of whom leave: mixed types, missing values, numbers in text, an identifier.

    Args:
        rows: number of customers, at least 100.
        seed: the same seed gives the same table.
        leak: add `cancellation_fee`, which only customers who left were charged.
        drift: shift prices, ages and the use of plans, as a later month would.

    Returns:
        A table of 15 columns (16 with the leak) with the label `churned` ("Yes" or "No").

    Raises:
        ConfigurationError: fewer than 100 rows were asked for.
    """
    if rows < 100:
        raise ConfigurationError(f"A sample needs at least 100 rows; {rows} were asked for.")
    draw = np.random.default_rng(seed)
    plan = draw.choice(4, rows, p=[0.15, 0.3, 0.25, 0.3] if drift else [0.3, 0.35, 0.2, 0.15])
    tenure = np.minimum(draw.gamma(1.6, 16, rows), 96).astype(int)
    age = np.clip(draw.normal(39 if drift else 44, 14, rows), 18, 92).round()
    base = np.array([12.0, 19.0, 34.0, 45.0])[plan] * (1.12 if drift else 1.0)
    monthly = np.round(base * draw.lognormal(0, 0.12, rows), 2)
    usage = np.round(draw.lognormal(1.6 + 0.35 * plan, 0.7, rows), 2)
    tickets = draw.poisson(0.5 + 0.5 * (draw.random(rows) < 0.2), rows)
    contract = np.where(draw.random(rows) < 0.25 + 0.1 * plan, "Yearly", "Monthly")
    payment = draw.choice(4, rows, p=[0.45, 0.3, 0.15, 0.1])
    city = _cities(draw, rows)
    effect = draw.normal(0, 0.5, 240)[city]
    late = draw.random(rows) < 0.12
    yearly = contract == "Yearly"
    renewal = yearly & (tenure > 0) & (tenure % 12 == 0)
    score = (
        -2.3
        + 1.8 * np.exp(-tenure / 6)
        + 0.9 * (monthly > 1.1 * base)
        + np.where(yearly, -1.2, 0.6 * np.minimum(tickets, 3))
        + 3.0 * renewal
        + 0.9 * late
        + effect
        + np.array([0.3, 0.0, -0.25, 0.1])[plan]
        + np.array([0.0, -0.3, 0.25, 0.5])[payment]
        + np.where(plan < 2, 1.6 * (usage > 10), -0.9 * (usage > 20))
        + 0.05 * np.abs(age - 45)
    )
    churned = draw.random(rows) < 1 / (1 + np.exp(-score))
    joined = START - (tenure * 30 + draw.integers(0, 30, rows)).astype("timedelta64[D]")
    seconds = draw.integers(0, 86_400, rows).astype("timedelta64[s]")
    total = np.round(monthly * tenure, 2)
    columns: dict[str, pa.Array] = {
        "customer_id": pa.array([f"C{value:07d}" for value in draw.permutation(rows * 7)[:rows]]),
        "joined_at": pa.array([f"{day}Z" for day in (joined + seconds).astype("datetime64[s]")]),
        "age": _holes(draw, age.astype(int), 0.03),
        "city": pa.array([f"City {value:03d}" for value in city]),
        "plan": pa.array([PLANS[value] for value in plan]),
        "contract": pa.array(contract),
        "payment_method": _holes(draw, np.array(PAYMENTS)[payment], 0.02),
        "sales_channel": pa.array(np.array(CHANNELS)[draw.integers(0, 4, rows)]),
        "tenure_months": pa.array(tenure),
        "monthly_price": pa.array(monthly),
        # Brand-new customers have no total yet: a blank, so that the column reads as text.
        "total_paid": pa.array(
            [f"{v:.2f}" if months else " " for v, months in zip(total, tenure, strict=True)]
        ),
        "gigabytes_used": _holes(draw, usage, 0.06),
        "support_tickets": pa.array(tickets),
        "late_payment": pa.array(np.where(late, "true", "false")),
    }
    if leak:
        fee = np.where(churned, draw.uniform(15, 60, rows), 0).round(2)
        columns["cancellation_fee"] = pa.array(fee)
    columns["churned"] = pa.array(np.where(churned, "Yes", "No"))
    return pa.table(columns)


def _cities(draw: np.random.Generator, rows: int) -> np.ndarray:
    """Codes of 240 cities, few large and many small."""
    weights = 1 / np.arange(1, 241) ** 0.8
    return draw.choice(240, rows, p=weights / weights.sum())


def _holes(draw: np.random.Generator, values: np.ndarray, share: float) -> pa.Array:
    return pa.array(values, mask=draw.random(len(values)) < share)


def write_sample(folder: Path, rows: int, seed: int, leak: bool, drift: bool) -> Path:
    """Write the churn sample as `churn.csv` into a folder and return the file."""
    path = folder / "churn.csv"
    with aside(path) as draft:
        pyarrow.csv.write_csv(churn_table(rows, seed, leak, drift), draft)
    return path
