"""What a training is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """What to train.

    Attributes:
        model_name: its name.
        parameters: XGBoost's, by name.
        seed: of everything that draws.
        objective: auto, or one of a regression.
        device: cpu, cuda or auto.
        monotone_constraints: 1 or -1, by raw column.
        interaction_constraints: groups of raw columns that may act together.
        threshold_rule: what the answers of a binary model are for.
        quality: fast, standard or best.
        time_column: orders rows in time; empty where order does not matter.
        workers: processes, or pods on a cluster, that train together; each holds a share of rows.
        uris: of train, validation, plan and model, where they are no paths.
    """

    model_name: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    objective: str = "auto"
    device: str = "cpu"
    monotone_constraints: Mapping[str, float] = field(default_factory=dict)
    interaction_constraints: Sequence[Sequence[str]] = field(default_factory=list)
    threshold_rule: str = "f1"
    quality: str = "standard"
    time_column: str = ""
    workers: int = 1
    uris: dict[str, str] = field(default_factory=dict)
