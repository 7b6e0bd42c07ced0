"""The API of Kubeflow Pipelines over HTTP, v2beta1, kept in memory; states of runs are played.

It refuses what the real one refuses: fields that its messages do not have (told by the generated
client's models), names that are in use, requests without a token, page tokens of another filter.
"""

import email
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlparse

import kfp_server_api
import yaml

from tests.loopback import answering

OK, INVALID, MISSING, EXISTS, DENIED, UNAUTHENTICATED = 0, 3, 5, 6, 7, 16
STATUS = {INVALID: 400, MISSING: 404, EXISTS: 409, DENIED: 403, UNAUTHENTICATED: 401}
PAGE = 2
MODELS = {
    "pipelines": kfp_server_api.V2beta1Pipeline,
    "experiments": kfp_server_api.V2beta1Experiment,
    "runs": kfp_server_api.V2beta1Run,
    "recurringruns": kfp_server_api.V2beta1RecurringRun,
}
IDS = {
    "pipelines": "pipeline_id",
    "pipeline_versions": "pipeline_version_id",
    "experiments": "experiment_id",
    "runs": "run_id",
    "recurringruns": "recurring_run_id",
}


class Refusal(Exception):
    """An error of the server, by its gRPC code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Fault:
    """What happens to the next request of a method and path instead of an answer.

    Attributes:
        status: of the answer; 0 closes the connection.
        done: whether the request is carried out all the same.
    """

    method: str
    path: str
    status: int = 503
    text: str = "upstream connect error"
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False


@dataclass
class Api:
    """What the API holds, was asked, and plays.

    Attributes:
        tokens: account by accepted token; without any, everybody may come in.
        namespaces: those that the accounts may use.
        states: of a run at each later question for it; the last one stays.
        page: HTML that a login in front of the API answers with, if any.
    """

    url: str = ""
    multi_user: bool = False
    first_version: bool = False
    tokens: dict[str, str] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ("team",)
    states: list[dict[str, Any]] = field(default_factory=lambda: [{"state": "SUCCEEDED"}])
    page: str = ""
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    stored: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {kind: [] for kind in IDS}
    )
    lock: Lock = field(default_factory=Lock)

    def sent(self, method: str, end: str) -> list[Asked]:
        return [one for one in self.asked if one.method == method and one.path.endswith(end)]

    def fault(self, asked: Asked) -> Fault | None:
        for fault in self.faults:
            if fault.method == asked.method and asked.path.endswith(fault.path):
                self.faults.remove(fault)
                return fault
        return None

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        version, _, path = asked.path.removeprefix("/apis/").partition("/")
        try:
            if version == "v2beta1" and self.first_version:
                raise Refusal(MISSING, "Not Found")
            if path == "healthz":
                return 200, {"multi_user": self.multi_user, "tag_name": "2.17.0"}
            if version != "v2beta1":
                raise Refusal(MISSING, "Not Found")
            return 200, self._dispatch(asked, path)
        except Refusal as error:
            if path.startswith("pipelines/upload"):
                return STATUS[error.code], {"error_message": str(error)}
            details = [{"@type": "type.googleapis.com/google.rpc.Status", "code": error.code}]
            answer = {"error": str(error), "code": error.code, "message": str(error)}
            return STATUS[error.code], answer | {"details": details}

    def _dispatch(self, asked: Asked, path: str) -> dict[str, Any]:
        if path == "pipelines/upload_version" and asked.method == "POST":
            return self._upload(asked)
        kind, _, name = path.partition("/")
        versions = (
            re.fullmatch(r"([^/]+)/versions(?:/(.+))?", name) if kind == "pipelines" else None
        )
        if kind not in MODELS:
            raise Refusal(MISSING, "Not Found")
        if versions:
            self._get("pipelines", versions[1])
            if versions[2]:
                return self._get("pipeline_versions", versions[2])
            return self._list("pipeline_versions", asked.query, {"pipeline_id": versions[1]})
        if asked.method == "POST":
            return self._create(kind, asked)
        if name:
            return self._play(name) if kind == "runs" else self._get(kind, name)
        keys = ("namespace", "experiment_id") if "run" in kind else ("namespace",)
        owner = {key: asked.query.get(key, "") for key in keys if key in asked.query}
        if kind in ("pipelines", "experiments") and self.multi_user:
            owner["namespace"] = self._allowed(asked, asked.query.get("namespace", ""), "list")
        return self._list(kind, asked.query, owner)

    def _allowed(self, asked: Asked, namespace: str, verb: str) -> str:
        if not self.multi_user:
            return ""
        if not namespace:
            raise Refusal(INVALID, "Invalid input error: Namespace is empty")
        account = self.tokens.get(asked.token, "")
        if namespace not in self.namespaces:
            text = f"User '{account}' is not authorized with reason: (request: Verb:{verb})"
            raise Refusal(DENIED, f"Failed to authorize with API: {text}")
        return namespace

    def _create(self, kind: str, asked: Asked) -> dict[str, Any]:
        check_fields(MODELS[kind], asked.body)
        thing = dict(asked.body)
        if not thing.get("display_name"):
            raise Refusal(INVALID, "The name is empty")
        if kind in ("pipelines", "experiments"):
            thing["namespace"] = self._allowed(asked, thing.get("namespace", ""), "create")
            same = [one for one in self.stored[kind] if one["namespace"] == thing["namespace"]]
            if thing["display_name"] in [one["display_name"] for one in same]:
                raise Refusal(EXISTS, f"The name {thing['display_name']} already exist")
        else:
            self._get("experiments", thing.get("experiment_id", ""))
            if "pipelineInfo" not in thing["pipeline_spec"].get(
                "pipeline_spec", thing["pipeline_spec"]
            ):
                raise Refusal(INVALID, "unknown template format: pipeline spec is invalid")
        if kind == "recurringruns":
            cron = thing["trigger"]["cron_schedule"]["cron"]
            if not cron.startswith("@") and len(cron.split()) not in (5, 6):
                raise Refusal(INVALID, f"Schedule cron is not a supported format: {cron}")
            if not 1 <= int(thing["max_concurrency"]) <= 10:
                raise Refusal(INVALID, "Max concurrency must be at least 1 and at most 10")
        return self._store(kind, thing)

    def _store(self, kind: str, thing: dict[str, Any]) -> dict[str, Any]:
        thing = thing | {IDS[kind]: str(uuid.uuid4()), "created_at": "2026-01-01T00:00:00Z"}
        self.stored[kind].append(thing)
        return thing

    def _upload(self, asked: Asked) -> dict[str, Any]:
        name, text = asked.body
        if name != "uploadfile":
            raise Refusal(INVALID, "Failed to create a pipeline version")
        owner = self._get("pipelines", asked.query.get("pipelineid", ""))["pipeline_id"]
        same = [one for one in self.stored["pipeline_versions"] if one["pipeline_id"] == owner]
        if asked.query["name"] in [one["display_name"] for one in same]:
            raise Refusal(EXISTS, "Failed to create a pipeline version")
        thing = {
            "pipeline_id": owner,
            "display_name": asked.query["name"],
            "name": asked.query["name"],
            "pipeline_spec": as_struct(text),
        }
        return self._store("pipeline_versions", thing)

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        for thing in self.stored[kind]:
            if thing[IDS[kind]] == name:
                return thing
        raise Refusal(MISSING, f"ResourceNotFoundError: {kind} {name} not found")

    def _play(self, name: str) -> dict[str, Any]:
        run = self._get("runs", name)
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return run | state

    def _list(self, kind: str, query: dict[str, str], owner: dict[str, str]) -> dict[str, Any]:
        # It decodes once more what HTTP has decoded already, as the real one does.
        filtering = unquote_plus(query.get("filter", "")).replace("stringValue", "string_value")
        found = [one for one in self.stored[kind] if owner.items() <= one.items()]
        if filtering:
            check_fields(kfp_server_api.V2beta1Filter, json.loads(filtering))
            for predicate in json.loads(filtering)["predicates"]:
                assert predicate["operation"] in ("EQUALS", 1)
                key, value = predicate["key"], predicate["string_value"]
                found = [one for one in found if one.get(key) == value]
        start, of = json.loads(query.get("page_token") or '[0, ""]')
        if start and of != filtering:
            raise Refusal(INVALID, "page token does not match the supplied filtering criteria")
        key = "recurringRuns" if kind == "recurringruns" else kind
        answer: dict[str, Any] = {key: found[start : start + PAGE]} if found else {}
        if start + PAGE < len(found):
            answer["next_page_token"] = json.dumps([start + PAGE, filtering])
        return answer


def as_struct(text: str) -> dict[str, Any]:
    """A YAML as the server gives it back: one mapping, every number a float."""
    try:
        documents = [yaml.load(part, yaml.CSafeLoader) for part in text.split("\n---\n")]
    except yaml.YAMLError as error:
        raise Refusal(INVALID, f"Failed to parse the pipeline: {error}") from error
    spec, *platforms = json.loads(json.dumps(documents), parse_int=float)
    return {"pipeline_spec": spec, "platform_spec": platforms[0]} if platforms else spec


def check_fields(model: Any, value: dict[str, Any]) -> None:
    """Refuse a field that a message does not have, however deep it stands."""
    known = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for name, one in value.items():
        if name not in known:
            raise Refusal(INVALID, f'proto: (line 1:2): unknown field "{name}"')
        kind = known[name].removeprefix("list[").removesuffix("]")
        inner = getattr(kfp_server_api, kind, None)
        if hasattr(inner, "openapi_types"):
            for part in one if isinstance(one, list) else [one]:
                if isinstance(part, dict):
                    check_fields(inner, part)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        api: Api = self.server.api
        url = urlparse(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        asked = Asked(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
        with api.lock:
            api.asked.append(asked)
            fault = api.fault(asked)
            if fault and fault.done:
                api.answer(asked)
            if fault and not fault.status:
                self.close_connection = True
                return
            if fault:
                self._send(fault.status, fault.text, "text/plain", fault.headers)
            elif api.page and not asked.token:
                self._send(200, api.page, "text/html; charset=utf-8", {})
            elif api.tokens and asked.token not in api.tokens:
                refused = {"code": UNAUTHENTICATED, "message": f"bad token {asked.token}"}
                self._send(401, json.dumps(refused), "application/json", {})
            else:
                status, value = api.answer(asked)
                self._send(status, json.dumps(value), "application/json", {})

    def _body(self, headers: dict[str, str]) -> Any:
        content = self.rfile.read(int(headers.get("content-length") or 0))
        kind = headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
            (part,) = message.get_payload()
            name = part.get_param("name", header="content-disposition")
            return name, part.get_payload(decode=True).decode()
        return json.loads(content) if content else None

    def _send(self, status: int, text: str, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-type": kind}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = _serve

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(tls: SSLContext | None = None) -> Iterator[Api]:
    """Answer on a free port of this machine until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # the client keeps its connections
    server.block_on_close = False
    if tls:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.api = Api(f"http{'s' if tls else ''}://localhost:{server.server_port}")
    with answering(server):
        yield server.api
