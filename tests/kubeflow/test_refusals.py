"""What a user reads when Kubeflow Pipelines does not do what was asked."""

import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shipway.components.lib.errors import ConfigurationError, KubeflowError
from shipway.pipelines.connection import TRIES, find_access
from shipway.pipelines.kubeflow import Settings
from shipway.pipelines.package import make_package
from shipway.pipelines.specs import load_compiled

LOGIN = "<!DOCTYPE html><html><head><title>Log in to\n Kubeflow</title></head></html>"
SUBMIT = ("submit", "train-and-deploy", "--host")


def refused(connect, *args, **options) -> str:
    with pytest.raises(KubeflowError) as caught:
        connect(*args, **options)
    return str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signed itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(built.public_bytes(encoding) + secret)
    return path


@pytest.fixture
def secure(pipelines_api, certificate: Path) -> Iterator:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with pipelines_api.running(context) as api:
        yield api


def test_a_host_where_nothing_listens(shipway, words) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = shipway(*SUBMIT, url, *words)
    assert result.returncode == 1
    assert f"{url} cannot be reached" in result.stderr
    assert "port-forward" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_name_that_does_not_resolve(connect) -> None:
    message = refused(connect, "http://kubeflow.invalid")
    assert "'kubeflow.invalid' of --host" in message
    assert "does not resolve" in message


def test_a_certificate_that_is_not_trusted(secure, connect, certificate: Path) -> None:
    message = refused(connect, secure.url)
    assert "not trusted (self-signed certificate)" in message
    assert "--ca-file" in message
    assert not connect(secure.url, ca_file=certificate).multi_user


def test_https_where_plain_http_is_spoken(api, connect) -> None:
    assert "does not speak TLS" in refused(connect, api.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", "KF_PIPELINES_ENDPOINT"),
        ("localhost:8080", "must begin with http"),
        ("https://", "must begin with http"),
        ("http://me:secret@localhost", "--token-file"),
        ("http://local\nhost", "is no URL"),
    ],
)
def test_a_host_that_is_none(host: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        find_access(host)
    assert "secret" not in str(caught.value)


def test_the_address_bar_of_the_dashboard_will_do(api, connect) -> None:
    connect(f"{api.url}/#/pipelines?x=1")
    assert api.asked[0].path == "/apis/v2beta1/healthz"


def test_a_forwarded_port_is_not_asked_of_a_proxy(api, connect, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    connect(api.url)
    connect(api.url.replace("localhost", "127.0.0.1"))
    assert "or that of the proxy" in refused(connect, "http://kubeflow.example")


def test_a_token_that_expired(api, shipway, words, token_file) -> None:
    path = token_file("system:serviceaccount:team:builder", ends_in=-60)
    api.tokens = {"another": "builder"}
    result = shipway(*SUBMIT, api.url, *words, "--token-file", str(path))
    assert result.returncode == 1
    assert f"does not accept the token in '{path}', which expired at 20" in result.stderr
    assert "create token" in result.stderr
    assert "bad token ***" in result.stderr
    assert path.read_text().strip() not in result.stderr


def test_a_token_that_is_missing(api, connect) -> None:
    api.tokens = {"one": "builder"}
    message = refused(connect)
    assert "wants a token" in message
    assert "--token-file" in message


@pytest.mark.parametrize("text", ["", "one two", "one\ntwo", "schlüssel", "\x07bell"])
def test_a_file_that_holds_no_token(connect, tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        connect(token_file=tmp_path / "token")
    assert str(tmp_path / "token") in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_namespace_that_is_not_ours(api, shipway, words, team) -> None:
    result = shipway(*SUBMIT, api.url, *words, "--namespace", "other", *team[2:])
    assert result.returncode == 1
    assert "system:serviceaccount:team:builder" in result.stderr
    assert "namespace 'other'" in result.stderr
    assert "User 'builder' is not authorized" in result.stderr
    assert "--clusterrole kubeflow-edit --serviceaccount team:builder" in result.stderr


def test_a_login_page(api, shipway, words) -> None:
    api.page = LOGIN
    result = shipway(*SUBMIT, api.url, *words)
    assert result.returncode == 1
    assert "HTML page ('Log in to\\n Kubeflow') instead of JSON" in result.stderr
    assert "--token-file" in result.stderr
    assert "kubectl -n kubeflow port-forward svc/ml-pipeline-ui 8080:80" in result.stderr


@pytest.mark.parametrize("status", [302, 303])
def test_a_redirect_to_a_login(api, pipelines_api, connect, status: int) -> None:
    where = {"location": "/dex/auth?client_id=kubeflow&state=secret"}
    api.faults = [pipelines_api.Fault("GET", "/healthz", status, "", where)]
    message = refused(connect)
    assert "redirects to /dex/auth instead of JSON" in message
    assert "state=" not in message


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_page_with_a_status_is_a_page(api, pipelines_api, connect, status: int) -> None:
    api.faults = [pipelines_api.Fault("GET", "/healthz", status, LOGIN)]
    assert "instead of JSON" in refused(connect)


@pytest.mark.parametrize("text", ["ok", "[]", ""])
def test_an_answer_that_is_not_json(api, pipelines_api, connect, text: str) -> None:
    api.faults = [pipelines_api.Fault("GET", "/healthz", 200, text)]
    assert "is not JSON" in refused(connect)


def test_a_server_of_the_first_version(api, connect) -> None:
    api.first_version = True
    assert "only the API v1beta1" in refused(connect)


def test_a_server_that_is_another_one(api, connect, pipelines_api) -> None:
    api.faults = [pipelines_api.Fault("GET", "/healthz", 404, "no such thing") for _ in "12"]
    message = refused(connect)
    assert "has no /apis/v2beta1/healthz: no such thing" in message


def test_the_words_of_the_server_are_passed_on(api, connect, pipelines_api) -> None:
    kubeflow = connect()
    text = '{"error": "x", "code": 13, "message": "Internal error: database is locked"}'
    api.faults = [pipelines_api.Fault("GET", "/runs/1", 500, text)]
    with pytest.raises(KubeflowError, match=r"\(500\): Internal error: database is locked"):
        kubeflow.run("1")
    with pytest.raises(KubeflowError, match="runs 1 not found"):
        kubeflow.run("1")


def test_a_conflict_that_is_no_name_in_use_is_passed_on(api, connect, pipelines_api) -> None:
    text = '{"code": 10, "message": "BadRequestError: no spec"}'
    api.faults = [pipelines_api.Fault("POST", "/runs", 409, text)]
    package = make_package(load_compiled("train-and-deploy"))
    with pytest.raises(KubeflowError, match=r"\(409\): BadRequestError: no spec"):
        connect().submit(package, {}, Settings("a", "b"))


@pytest.mark.parametrize("status", [429, 502, 503, 504, 0])
def test_what_passes_is_asked_again(api, connect, pipelines_api, status: int) -> None:
    api.faults = [pipelines_api.Fault("GET", "/healthz", status) for _ in range(TRIES - 1)]
    connect()
    assert len(api.asked) == TRIES


def test_what_does_not_pass_is_said(api, connect, pipelines_api) -> None:
    api.faults = [pipelines_api.Fault("GET", "/healthz") for _ in range(TRIES)]
    message = refused(connect)
    assert "busy (503 upstream connect error)" in message
    assert len(api.asked) == TRIES


def test_the_server_says_when_to_ask_again(api, connect, pipelines_api) -> None:
    api.faults = [pipelines_api.Fault("GET", "/healthz", 429, headers={"retry-after": "1"})]
    began = time.monotonic()
    connect()
    assert time.monotonic() - began >= 1
