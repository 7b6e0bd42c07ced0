"""One trial of Katib: `python -m shipway.components.tune.trial`, which says its loss.

Katib reads lines `name=number` of what the program writes. All else goes without an equals sign.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

from shipway.components.lib.errors import ShipwayError
from shipway.components.lib.storage import brought_here
from shipway.components.tune.layout import layout_of, one_trial
from shipway.components.tune.request import Request

TABLES = ("train", "validation", "plan")


def main(arguments: list[str]) -> int:
    """Train one candidate and write its loss."""
    parser = argparse.ArgumentParser("shipway.components.tune.trial", description=__doc__)
    for name in TABLES:
        parser.add_argument(f"--{name}", required=True, help="path or URI")
    parser.add_argument("--request", required=True, help="what is tuned, JSON")
    parser.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE")
    told = vars(parser.parse_args(arguments))
    parameters = {name: float(value) for name, _, value in (p.partition("=") for p in told["set"])}
    try:
        with tempfile.TemporaryDirectory(prefix="shipway-trial-") as scratch:
            here = (brought_here(told[name], Path(scratch) / name) for name in TABLES)
            train, validation, plan = here
            layout = layout_of(train, validation, plan, Request(**json.loads(told["request"])))
            result = one_trial(layout, parameters)
    except ShipwayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if not math.isfinite(result.loss):
        print(f"The loss of {parameters} is {result.loss}.", file=sys.stderr)
        return 1
    print(f"loss={result.loss:.9g}")
    print(f"rounds={result.rounds}")
    print(f"leaves={result.leaves}")
    print(f"seconds={result.seconds:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
