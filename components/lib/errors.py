"""What goes wrong for a user: every message names the offender, the rule and the cure.

ShipwayError
|-- ConfigurationError   a parameter, a file of settings or an environment is wrong
|-- DataError            a table is not what a step needs
|-- ModelPackageError    a model package is damaged, incomplete or of another version
|-- EndpointError        a model server does not start, answer or agree
|-- WorkerError          a training with several workers cannot be carried out
|-- KubeflowError        Kubeflow Pipelines refuses, or cannot be reached
`-- StoreError           the model store cannot do what was asked
    `-- ConflictError    somebody else moved the champion first
"""

import difflib
from collections.abc import Iterable


class ShipwayError(Exception):
    """An error that a user can act on."""


class ConfigurationError(ShipwayError):
    """A parameter, a settings file or an environment is wrong."""


class DataError(ShipwayError):
    """A table is not what a step needs."""


class ModelPackageError(ShipwayError):
    """A model package is damaged, incomplete or made for another version."""


class EndpointError(ShipwayError):
    """A model server does not start, answer or agree with its model."""


class WorkerError(ShipwayError):
    """A training with several workers cannot be carried out."""


class KubeflowError(ShipwayError):
    """Kubeflow Pipelines refuses what was asked, or cannot be reached."""


class StoreError(ShipwayError):
    """The model store cannot do what was asked."""


class ConflictError(StoreError):
    """A compare-and-swap lost: somebody else moved the pointer first."""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """A hint with the candidate that is spelled most like a name.

    Returns:
        " Did you mean 'x'?", or an empty string when nothing is close.
    """
    names = list(candidates)
    folded = {candidate.casefold(): candidate for candidate in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean '{folded[close[0]]}'?" if close else ""
