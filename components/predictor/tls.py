"""The certificates of the REST server, read once before the model is loaded."""

import ssl

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
