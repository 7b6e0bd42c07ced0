"""The command line of the model server."""

import argparse
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """How the server is run; the fields are the flags of `python -m ...predictor --help`."""

    model_dir: Path
    model_name: str = ""
    model_version: str = ""
    host: str = "127.0.0.1"
    http_port: int = 8080
    reuse_port: bool = False
    enable_grpc: bool = False
    grpc_port: int = 8081
    max_body_mib: int = 64
    max_rows: int = 100_000
    max_explain_rows: int = 1_000
    unknown_category: str = "rare"
    page: bool = False
    threads: int = 1
    grace_seconds: int = 10

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is read, in bytes."""
        return self.max_body_mib * MIB


def parse_settings(arguments: list[str]) -> Settings:
    """Read the flags; a wrong one ends the process with status 2, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m shipway.components.predictor",
        description="Serve a Shipway model package by KServe's V1 and V2 protocols.",
        epilog="Example: python -m shipway.components.predictor --model_dir model --http_port 8080",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model_dir", type=Path, required=True, help="the model package: a directory")
    add("--model_name", default="", help="name in the URLs; the package's own by default")
    add("--model_version", default="", help="version that answers and URLs carry")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container")
    add("--http_port", type=_port, default=8080, help="REST port; 0 takes a free one")
    add("--reuse_port", type=_flag, default=False, help="share the port with another server")
    add("--enable_grpc", type=_flag, default=False, help="V2 gRPC too, on every interface")
    add("--grpc_port", type=_port, default=8081, help="gRPC port")
    add("--max_body_mib", type=_positive, default=64, help="largest request body, in MiB")
    add("--max_rows", type=_positive, default=100_000, help="most rows in a request")
    add("--max_explain_rows", type=_positive, default=1_000, help="most rows to explain at once")
    add(
        "--unknown_category",
        choices=("rare", "refuse"),
        default="rare",
        help="a category that training did not see is taken for a rare one, or refused",
    )
    add("--page", type=_flag, default=False, help="a page at / to try a row by hand")
    add("--threads", type=_positive, default=1, help="threads that score one request")
    add("--grace_seconds", type=_positive, default=10, help="for open requests at the end")
    settings = Settings(**vars(parser.parse_args(arguments)))
    if settings.enable_grpc and settings.host not in ("0.0.0.0", "::"):
        parser.error(
            f"--enable_grpc true listens on every interface, and --host is {settings.host}; "
            "set --host 0.0.0.0 too, or leave gRPC off"
        )
    return settings


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"'{text}' must be true or false")
    return text.lower() == "true"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of 1 or more")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' must be a port, 0 to 65535")
    return int(text)
