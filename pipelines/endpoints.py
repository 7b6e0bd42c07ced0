"""The endpoints of a working directory: of its own model store, and of stores of its runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shipway.components.lib import serving


class Place(NamedTuple):
    """Where the records of a model's servers lie.

    Attributes:
        serving_dir: beside a model store.
        model_name: of the endpoint.
    """

    serving_dir: Path
    model_name: str

    @property
    def live(self) -> serving.ServingRecord | None:
        """The endpoint that callers use; None where there is none."""
        return serving.load_record(self.serving_dir, self.model_name)

    def listens_on(self, port: int) -> bool:
        """Whether the endpoint runs at a port."""
        return self.live is not None and self.live.port == port and self.live.is_running


def place_of(arguments: Mapping[str, Any]) -> Place | None:
    """The place of the endpoint that a run's arguments ask for; None where it is not local."""
    if arguments.get("serving_target") != "local":
        return None
    return Place(serving.serving_dir_of(arguments["model_store"]), arguments["model_name"])


def find_places(state: Path) -> list[Place]:
    """Every place where a server of this working directory may have its record.

    In a store that lies elsewhere others may serve too, so only models that a run here named count.

    Args:
        state: the state directory, `.shipway`.
    """
    own = state / "serving"
    places = {Place(own, folder.name) for folder in own.glob("*/")}
    for path in state.glob("runs/*/run.json"):
        place = place_of(json.loads(path.read_text(encoding="utf-8"))["arguments"])
        if place and (place.serving_dir / place.model_name).is_dir():
            places.add(place)
    return sorted(places)
