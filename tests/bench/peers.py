"""The servers that are compared: each a process in an environment of its own."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from shipway.components.lib.images import TARGETS
from shipway.pipelines.environments import prepare

HERE = Path(__file__).parent
SERVE_IMAGE = next(image for image, target in TARGETS.items() if target == "serve")

KSERVE = ["kserve[storage]==0.20.0", "xgboost==2.1.4"]
MLSERVER = ["mlserver==1.7.1", "mlserver-xgboost==1.7.1", "xgboost==3.2.0", "uvloop==0.21.0"]
FASTAPI = [
    "fastapi==0.165.0",
    "uvicorn[standard]==0.54.0",
    "xgboost-cpu==3.2.0",
    "pydantic==2.14.3",
]

Command = Callable[[Path, Path, Path, int, int], list[object]]


@dataclass(frozen=True)
class Peer:
    """A way to serve a model.

    Attributes:
        name: in tables and options.
        title: what it is.
        command: of the environment's bin folder, the model, a folder of its own, and two ports.
        requirements: of its environment; without any, it is that of the serve image.
        kind: of model that it serves.
        variables: of its environment.
    """

    name: str
    title: str
    command: Command
    requirements: list[str] = field(default_factory=list)
    kind: str = "numeric"
    variables: dict[str, str] = field(default_factory=dict)


def _stock(bin_: Path, model: Path, folder: Path, http: int, grpc: int) -> list[object]:
    flags = ["--http_port", http, "--grpc_port", grpc]
    return [bin_ / "python", HERE / "stock_server.py", *flags, model]


def _fastapi(bin_: Path, model: Path, folder: Path, http: int, grpc: int) -> list[object]:
    return [bin_ / "python", HERE / "fastapi_server.py", model, http]


def _mlserver(workers: int) -> Command:
    def command(bin_: Path, model: Path, folder: Path, http: int, grpc: int) -> list[object]:
        settings = (
            f'{{"host": "127.0.0.1", "http_port": {http}, "grpc_port": {grpc}, '
            f'"metrics_port": {free_port()}, "parallel_workers": {workers}}}'
        )
        (folder / "settings.json").write_text(settings)
        (folder / "model-settings.json").write_text(
            '{"name": "bench", "implementation": "mlserver_xgboost.XGBoostModel", '
            f'"parameters": {{"uri": "{model}"}}}}'
        )
        return [bin_ / "mlserver", "start", folder]

    return command


def _ours(bin_: Path, model: Path, folder: Path, http: int, grpc: int) -> list[object]:
    flags = ["--http_port", http]
    if grpc:
        flags += ["--enable_grpc", "true", "--grpc_port", grpc]
    module = ["-m", "shipway.components.predictor", "--model_dir", model]
    return [bin_ / "python", *module, *flags]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("stock", "KServe's SDK, a DMatrix a request", _stock, KSERVE),
        Peer("mlserver", "MLServer, its defaults", _mlserver(1), MLSERVER),
        Peer(
            "mlserver-lean", "MLServer in one process, one OpenMP thread", _mlserver(0), MLSERVER,
            variables={"OMP_NUM_THREADS": "1"},
        ),
        Peer("fastapi", "FastAPI, pydantic, inplace_predict", _fastapi, FASTAPI),
        Peer("ours", "Shipway", _ours),
        Peer("ours-categorical", "Shipway, 8 of 30 columns categorical", _ours, kind="categorical"),
    )
}  # fmt: skip


def environment(peer: Peer, root: Path) -> Path:
    """The bin folder of a peer's environment, which is made when it is not there."""
    if not peer.requirements:
        return prepare([SERVE_IMAGE], Path(".shipway").resolve(), click.echo)[SERVE_IMAGE] / "bin"
    return install(peer.name.split("-")[0], peer.requirements, root)


def install(name: str, requirements: list[str], root: Path) -> Path:
    """The bin folder of an environment with some packages, made when it is not there."""
    home = root / "envs" / name
    stamp, wanted = home / "requirements.txt", "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        click.echo(f"Installing {', '.join(requirements)} ...")
        uv = Path(sys.executable).with_name("uv")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", version, home], check=True)
        command = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", home]
        subprocess.run([*command, *requirements], check=True)
        stamp.write_text(wanted)
    return home / "bin"


def versions(peer: Peer, root: Path) -> dict[str, str]:
    """The versions of what a peer is made of."""
    names = ["kserve", "mlserver", "fastapi", "uvicorn", "xgboost", "xgboost-cpu", "numpy"]
    code = (
        "import importlib.metadata as m, json; "
        "have = {d.name: d.version for d in m.distributions()}; "
        f"print(json.dumps({{n: have[n] for n in {names} if n in have}}))"
    )
    python = environment(peer, root) / "python"
    output = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(output.stdout))


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
