"""The command line of the model server."""

import argparse
import os
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
    http_fd: int = -1
    handover: Path | None = None
    enable_grpc: bool = False
    grpc_port: int = 8081
    max_body_mib: int = 64
    max_rows: int = 100_000
    max_explain_rows: int = 1_000
    unknown_category: str = "rare"
    page: bool = False
    threads: int = 1
    max_concurrent: int = 512
    max_connections: int = 2048
    timeout_seconds: int = 30
    header_seconds: int = 10
    transfer_seconds: int = 60
    keep_alive_seconds: int = 65
    drain_seconds: int = 0
    grace_seconds: int = 10
    workers: int = 1
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_ca_certs: Path | None = None
    log_format: str = "text"
    log_requests: float = 0.01
    payload_log: Path | None = None
    payload_share: float = 1.0
    payload_file_mib: int = 64
    payload_file_seconds: int = 300

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
    add("--http_fd", type=_count, default=-1, help="inherited socket, in place of host and port")
    add("--handover", type=Path, help="Unix socket: gives the REST socket to the next server")
    add("--enable_grpc", type=_flag, default=False, help="V2 gRPC too")
    add("--grpc_port", type=_port, default=8081, help="gRPC port; 0 takes a free one")
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
    _add_limits(parser)
    _add_tls(parser)
    _add_logs(parser)
    settings = Settings(**vars(parser.parse_args(arguments)))
    _refuse_together(parser, settings)
    return settings


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "limits", "A client that is too slow gets 408, one too many 503 with Retry-After."
    ).add_argument
    add("--max_concurrent", type=_positive, default=512, help="requests answered at once")
    add("--max_connections", type=_positive, default=2048, help="open connections")
    add("--timeout_seconds", type=_positive, default=30, help="for work on one request: then 504")
    add("--header_seconds", type=_positive, default=10, help="for the headers to come whole")
    add("--transfer_seconds", type=_positive, default=60, help="for a body, and for an answer")
    add("--keep_alive_seconds", type=_positive, default=65, help="for a connection that is idle")
    add(
        "--drain_seconds",
        type=_count,
        default=0,
        help="after SIGTERM: say that it is not ready, and keep answering for so long",
    )
    add("--grace_seconds", type=_positive, default=10, help="for open requests at the end")
    add(
        "--workers",
        type=_positive,
        default=1,
        help="processes, each with a model of its own; /metrics is that of the one that answers",
    )


def _add_tls(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("TLS", "For REST and gRPC alike.").add_argument
    add("--ssl_certfile", type=Path, help="certificate chain of the server, PEM")
    add("--ssl_keyfile", type=Path, help="its private key, PEM, without a password")
    add(
        "--ssl_ca_certs", type=Path, help="CA of clients, PEM: every client must show a certificate"
    )


def _add_logs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "what is seen",
        "Metrics are on /metrics. Traces go where OTEL_EXPORTER_OTLP_ENDPOINT points.",
    ).add_argument
    add(
        "--log_format",
        choices=("json", "text"),
        default="json" if "KUBERNETES_SERVICE_HOST" in os.environ else "text",
        help="of the lines on standard error; json in a pod of Kubernetes, else text",
    )
    add(
        "--log_requests",
        type=_share,
        default=0.01,
        help="share of the requests that get a log line, 0 to 1; failures of the server always do",
    )
    add("--payload_log", type=Path, help="folder for requests and answers, as Parquet files")
    add("--payload_share", type=_share, default=1.0, help="share of predictions kept there, 0 to 1")
    add("--payload_file_mib", type=_positive, default=64, help="bodies in one of its files, in MiB")
    add("--payload_file_seconds", type=_positive, default=300, help="age at which a file is ended")


def _refuse_together(parser: argparse.ArgumentParser, settings: Settings) -> None:
    """End the process where flags contradict each other."""
    if (settings.ssl_certfile is None) != (settings.ssl_keyfile is None):
        parser.error("--ssl_certfile and --ssl_keyfile go together; give both")
    if settings.ssl_ca_certs and not settings.ssl_certfile:
        parser.error("--ssl_ca_certs asks clients for certificates; give --ssl_certfile too")
    if settings.workers > 1 and (settings.enable_grpc or settings.handover):
        parser.error("--workers above 1 goes with neither --enable_grpc nor --handover")


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"'{text}' must be true or false")
    return text.lower() == "true"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of 1 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a number from 0 to 1")
    return share


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of 0 or more")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' must be a port, 0 to 65535")
    return int(text)
