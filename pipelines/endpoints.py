"""The endpoints of a working directory: of its own model store, and of stores of its runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shipway.components.lib.errors import EndpointError
from shipway.components.lib.model_package import load_manifest, verify_files
from shipway.components.lib.ports import port_is_free
from shipway.components.lib.serving_process import start_server
from shipway.components.lib.serving_record import (
    LIVE,
    ServingRecord,
    load_record,
    record_path,
    serving_dir_of,
)


class Place(NamedTuple):
    """Where the records of a model's servers lie.

    Attributes:
        serving_dir: beside a model store.
        model_name: of the endpoint.
    """

    serving_dir: Path
    model_name: str

    @property
    def live(self) -> ServingRecord | None:
        """The endpoint that callers use; None where there is none."""
        return load_record(self.serving_dir, self.model_name)

    def listens_on(self, port: int) -> bool:
        """Whether the endpoint runs at a port."""
        return self.live is not None and self.live.port == port and self.live.is_running


def place_of(arguments: Mapping[str, Any]) -> Place | None:
    """The place of the endpoint that a run's arguments ask for; None where it is not local."""
    if arguments.get("serving_target") != "local":
        return None
    return Place(serving_dir_of(arguments["model_store"]), arguments["model_name"])


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


def serve(
    model_dir: Path, serving_dir: Path, model_name: str, port: int, interpreter: Path
) -> ServingRecord:
    """Serve a package from a directory, as the live endpoint of its model.

    Args:
        model_dir: the model package.
        serving_dir: where records are kept.
        model_name: of the endpoint; empty takes the model's own.
        port: to listen on.
        interpreter: Python of the serve environment.

    Raises:
        ModelPackageError: the package is not whole.
        EndpointError: the port is taken, or the server does not become ready.
    """
    digest = verify_files(model_dir)
    name = model_name or str(load_manifest(model_dir)["model_name"])
    running = load_record(serving_dir, name)
    if running and running.is_running:
        raise EndpointError(
            f"'{name}' is served already at {running.endpoint}. Stop it first: shipway stop {name}."
        )
    if not port_is_free(port):
        raise EndpointError(f"Port {port} is in use. Choose another one: --port {port + 1}.")
    record = ServingRecord(
        "local", name, "", digest, "", str(model_dir), stable_port=port, port=port
    )
    return start_server(record, record_path(serving_dir, name, LIVE), interpreter)
