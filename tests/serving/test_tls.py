"""REST and gRPC behind TLS, with certificates that are made here."""

import datetime
import ssl
from ipaddress import ip_address

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

GRPC_OPTIONS = [("grpc.enable_http_proxy", 0)]


class Authority:
    """Signs certificates, and writes them as PEM files."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.path = folder / "ca.pem"
        self.path.write_bytes(self._sign(self.name, self.key, is_ca=True))

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signed = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(address, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return signed.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, password: bytes | None = None) -> tuple:
        """A certificate and its key, as paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        paths[0].write_bytes(self._sign(subject, key, is_ca=False))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password)
                if password
                else serialization.NoEncryption(),
            )
        )
        return paths


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def trusting(authority, *own) -> httpx.Client:
    context = ssl.create_default_context(cafile=authority.path)
    if own:
        context.load_cert_chain(*own)
    return httpx.Client(verify=context, trust_env=False, timeout=15)


def flags(certificate) -> list:
    return ["--ssl_certfile", certificate[0], "--ssl_keyfile", certificate[1]]


def test_predictions_go_by_tls_and_not_in_the_clear(binary, authority, serving):
    client = trusting(authority)
    with serving(binary.path, *flags(authority.issue("server")), client=client) as served:
        assert served.url.startswith("https://127.0.0.1:")
        answer = served.predict(binary.rows[:3])
        assert len(answer.json()["predictions"]) == 3
        large = served.predict(binary.rows * 10)  # more than one record, and work in a thread
        assert len(large.json()["predictions"]) == len(binary.rows) * 10
        with pytest.raises(httpx.TransportError):
            httpx.get(served.url.replace("https", "http") + "/v2/health/live", trust_env=False)
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(served.url + "/v2/health/live", trust_env=False)
        assert served.get("/v2/health/live").status_code == 200


def test_clients_without_a_certificate_of_the_authority_are_turned_away(
    binary, authority, serving, tmp_path
):
    asked = [*flags(authority.issue("server")), "--ssl_ca_certs", authority.path]
    client = trusting(authority, *authority.issue("client"))
    with serving(binary.path, *asked, client=client) as served:
        assert served.predict(binary.rows[:1]).status_code == 200
        for other in (trusting(authority), trusting(authority, *Authority(tmp_path).issue("x"))):
            with other, pytest.raises(httpx.TransportError):
                other.get(served.url + "/v2/health/live")


@pytest.mark.parametrize("of_clients", [False, True])
def test_grpc_goes_by_the_same_certificates(binary, authority, serving, of_clients):
    asked = ["--enable_grpc", "true", "--grpc_port", 0, *flags(authority.issue("server"))]
    own = ()
    if of_clients:
        asked += ["--ssl_ca_certs", authority.path]
        own = authority.issue("client")
    ready = pb.ModelReadyRequest(name="trips")
    trusted = grpc_channel(authority, *own)
    plain = grpc.insecure_channel
    turned_away = [plain] + [grpc_channel(authority)] * of_clients
    with serving(binary.path, *asked, client=trusting(authority, *own)) as served:
        with trusted(served.grpc, GRPC_OPTIONS) as channel:
            assert GRPCInferenceServiceStub(channel).ModelReady(ready, timeout=10).ready
        for other in turned_away:
            with other(served.grpc, options=GRPC_OPTIONS) as channel:
                stub = GRPCInferenceServiceStub(channel)
                with pytest.raises(grpc.RpcError) as caught:
                    stub.ModelReady(ready, timeout=10)
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def grpc_channel(authority, *own):
    """Opens channels that trust the authority, with a certificate of their own or none."""
    chain, key = (path.read_bytes() for path in own) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.path.read_bytes(), key, chain)
    return lambda target, options: grpc.secure_channel(target, credentials, options)


def test_certificates_that_cannot_be_used_are_refused_before_the_model(
    tmp_path, authority, refused
):
    server, other = authority.issue("server"), authority.issue("other")
    secret = authority.issue("secret", password=b"word")
    for pair in ((server[0], other[1]), (tmp_path / "none.pem", server[1]), secret):
        status, text = refused("--model_dir", tmp_path, "--http_port", 0, *flags(pair))
        assert status == 3
        assert "Give PEM files that belong together" in text and "Traceback" not in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--ssl_certfile", "a"], "go together"),
        (["--ssl_ca_certs", "a"], "give --ssl_certfile too"),
        (["--workers", "2", "--handover", "door"], "--workers above 1"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path, given, said, refused):
    status, text = refused("--model_dir", tmp_path, *given)
    assert (status, said in text) == (2, True)
