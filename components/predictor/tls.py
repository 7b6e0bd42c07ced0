"""The certificates of REST and gRPC, read once before the model is loaded."""

import ssl
from typing import Any

from shipway.components.lib.errors import ConfigurationError
from shipway.components.predictor.settings import Settings


def check_tls(settings: Settings) -> None:
    """Read the files that the flags name, when there are some.

    Raises:
        ConfigurationError: one cannot be read, or the key is not that of the certificate.
    """
    if settings.ssl_certfile is None or settings.ssl_keyfile is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    named = f"--ssl_certfile '{settings.ssl_certfile}' and --ssl_keyfile '{settings.ssl_keyfile}'"
    try:
        # A password would be asked for at a terminal that a server does not have.
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password=lambda: "")
        if settings.ssl_ca_certs:
            named = f"--ssl_ca_certs '{settings.ssl_ca_certs}'"
            context.load_verify_locations(settings.ssl_ca_certs)
    except OSError as error:  # of which the errors of TLS are some
        raise ConfigurationError(
            f"{named} cannot be used ({error}). Give PEM files that belong together, the key "
            "without a password."
        ) from error


def grpc_credentials(settings: Settings) -> Any:
    """The same certificates for gRPC; None where there are none.

    With a CA of clients, every client must show a certificate that it signed.
    """
    import grpc  # type: ignore[import-untyped]

    if settings.ssl_certfile is None or settings.ssl_keyfile is None:
        return None
    pair = settings.ssl_keyfile.read_bytes(), settings.ssl_certfile.read_bytes()
    authority = settings.ssl_ca_certs.read_bytes() if settings.ssl_ca_certs else None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=bool(authority))
