"""`python -m shipway.components.predictor --model_dir DIR`: load, prove, then answer."""

import gc
import logging
import os
import socket
import sys
import time

from shipway.components.lib.errors import ShipwayError
from shipway.components.predictor.listener import bind, inherit
from shipway.components.predictor.request_log import set_up
from shipway.components.predictor.settings import Settings, parse_settings
from shipway.components.predictor.tls import check_tls
from shipway.components.predictor.workers import Workers

logger = logging.getLogger("shipway.components.predictor")

REFUSED = 3


def main() -> int:
    """Serve until a signal.

    Returns:
        The exit status: 0 after a signal, 3 when the model or the port is refused.
    """
    began = time.monotonic()
    settings = parse_settings(sys.argv[1:])
    set_up(settings.log_format)
    try:
        check_tls(settings)
        listener = (
            bind(settings.host, settings.http_port)
            if settings.http_fd < 0
            else inherit(settings.http_fd)
        )
        if settings.workers > 1:
            return Workers(sys.argv[1:], listener, settings).wait()
        _serve(settings, listener, began)
    except ShipwayError as error:
        logger.error("%s", error)
        return REFUSED
    return 0


def _serve(settings: Settings, listener: socket.socket, began: float) -> None:
    from shipway.components.predictor.loading import load_engine

    engine = load_engine(settings)
    sys.argv[1:] = ["--configure_logging", "false"]  # the SDK reads it when it is imported
    from shipway.components.predictor.sdk import import_sdk

    import_sdk()
    from shipway.components.predictor.server import Server

    host, port = listener.getsockname()[:2]

    def announce() -> None:
        gc.collect()
        gc.freeze()  # what the imports made stays: a collection need not look at it again
        gc.set_threshold(20_000, 20, 20)  # requests leave no cycles behind
        logger.info(
            "Model '%s' %s(%s) answers on %s://%s:%d/v1/models/%s:predict after %.1f s.",
            engine.name,
            f"version {engine.version} " if engine.version else "",
            engine.digest[:12],
            "https" if settings.ssl_certfile else "http",
            f"[{host}]" if ":" in host else host,
            port,
            engine.name,
            time.monotonic() - began,
        )

    at_work = Server(settings).run(engine, listener, announce)
    logger.info("Stopped.")
    if at_work:  # a thread cannot be stopped, and would keep the process
        logging.shutdown()
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
