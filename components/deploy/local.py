"""The local target: the model server as a process on this machine."""

import sys
from pathlib import Path

from shipway.components.lib import serving
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.model_package import verify_files
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.serving import ServingRecord


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
    folder = serving.serving_dir_of(model_store)
    live = serving.load_record(folder, model_name)
    ours = live is not None and live.is_running and live.port == endpoint_port
    if not ours and not serving.port_is_free(endpoint_port):
        raise ConfigurationError(
            f"Port {endpoint_port} is in use by another program. Choose another one: "
            f"--set endpoint_port={endpoint_port + 1}."
        )
    package = store.download(model_name, version)
    champion = store.champion(model_name)
    serving.stop_role(folder, model_name, serving.CANDIDATE)
    record = ServingRecord(
        target="local",
        model_name=model_name,
        version=version,
        digest=verify_files(package),
        endpoint="",
        model_dir=str(package),
        champion=champion.version if champion else "",
        stable_port=endpoint_port,
        port=serving.free_port(),
    )
    path = serving.record_path(folder, model_name, serving.CANDIDATE)
    return serving.start_server(record, path, Path(sys.executable))
