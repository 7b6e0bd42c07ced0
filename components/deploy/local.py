"""The local target: the model server as a process on this machine."""

import sys
from pathlib import Path

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.model_package import verify_files
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.ports import free_port, port_is_free
from shipway.components.lib.serving_process import start_server, stop_role
from shipway.components.lib.serving_record import (
    CANDIDATE,
    ServingRecord,
    load_record,
    record_path,
    serving_dir_of,
)


def deploy_local(
    store: ModelStore, model_store: str, version: str, model_name: str, endpoint_port: int
) -> ServingRecord:
    """Start a version on a port of its own, while the live endpoint keeps answering.

    An earlier candidate of the model is stopped.

    Raises:
        ConfigurationError: the endpoint's port is another program's.
        EndpointError: the server does not become ready.
        ModelPackageError: the version is damaged.
    """
    folder = serving_dir_of(model_store)
    live = load_record(folder, model_name)
    ours = live is not None and live.is_running and live.port == endpoint_port
    if not ours and not port_is_free(endpoint_port):
        raise ConfigurationError(
            f"Port {endpoint_port} is in use by another program. Choose another one: "
            f"--set endpoint_port={endpoint_port + 1}."
        )
    package = store.download(model_name, version)
    champion = store.champion(model_name)
    stop_role(folder, model_name, CANDIDATE)
    record = ServingRecord(
        target="local",
        model_name=model_name,
        version=version,
        digest=verify_files(package),
        endpoint="",
        model_dir=str(package),
        champion=champion.version if champion else "",
        stable_port=endpoint_port,
        port=free_port(),
    )
    path = record_path(folder, model_name, CANDIDATE)
    return start_server(record, path, Path(sys.executable))
