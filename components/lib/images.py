"""The three images that the steps run in: one constant each, one tag for all.

`shipway compile --registry R --tag T` rewrites these references in the compiled YAML.
"""

from shipway.components import __version__

REGISTRY = "ghcr.io/shipway"
VERSION = __version__

DATA = f"{REGISTRY}/shipway-data:{VERSION}"
TRAIN = f"{REGISTRY}/shipway-train:{VERSION}"
SERVE = f"{REGISTRY}/shipway-serve:{VERSION}"

TARGETS = {DATA: "data", TRAIN: "train", SERVE: "serve"}
