"""Strict offline validation of Kubernetes objects: an unknown field fails, at any depth.

Core kinds are checked by Kubernetes' own schemas, custom kinds by their CRDs, which lie beside
this checkout in `shared/crds`. CEL rules and admission webhooks are not evaluated.
"""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry, Resource

REPOSITORY = Path(__file__).resolve().parents[2]
CRDS = REPOSITORY.parent / "shared" / "crds"
CACHE = REPOSITORY / "build" / "schemas"
OWN = [Path(__file__).with_name(f"{name}_crds.yaml") for name in ("monitoring", "katib")]
CORE = Path(kubernetes_validate.__path__[0]) / "kubernetes-json-schema"
KUBERNETES = "1.34.0"
DEFINITIONS = "https://kubernetes.io/api/_definitions.json"
METADATA = {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
LONGEST = 200

needs_crds = pytest.mark.skipif(not CRDS.is_dir(), reason="the CRDs are not beside this checkout")


def problems(obj: dict[str, Any]) -> list[str]:
    """What its schema says against an object, each with its path; empty when it is valid."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    name = (obj.get("metadata") or {}).get("name", "")
    validator = _validator(api_version, kind)
    if validator is None:
        return [f"{kind} '{name}': there is no schema for {api_version} {kind}."]
    return sorted(f"{kind} '{name}': {_said(error)}" for error in validator.iter_errors(obj))


def _said(error: ValidationError) -> str:
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    said = error.message
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        said = f"no such field: {', '.join(sorted(set(error.instance) - set(known)))}"
    return f"{path.lstrip('.') or 'the object'}: {said[:LONGEST]}"


@cache
def _validator(api_version: str, kind: str) -> Any:
    schema = _custom().get(f"{api_version}/{kind}") or _core(api_version, kind)
    return schema and _Strict(schema, registry=_registry())


def _core(api_version: str, kind: str) -> dict[str, Any] | None:
    group, _, version = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part)
    path = CORE / f"v{KUBERNETES}-local-strict" / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


@cache
def _registry() -> Registry:
    path = CORE / f"v{KUBERNETES}-local-strict" / "_definitions.json"
    return Resource.from_contents(json.loads(path.read_text("utf-8"))) @ Registry()


@cache
def _custom() -> dict[str, dict[str, Any]]:
    """The schema of each custom kind; parsed CRDs are kept in `build`, by what they hold."""
    found: dict[str, dict[str, Any]] = {}
    for path in [*sorted(CRDS.glob("*.yaml")), *OWN]:
        text = path.read_bytes()
        kept = CACHE / f"{hashlib.sha256(text + Path(__file__).read_bytes()).hexdigest()}.json"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            aside = kept.with_name(f"{kept.name}.{os.getpid()}")
            aside.write_text(json.dumps(_schemas(text)), "utf-8")
            aside.replace(kept)
        found |= json.loads(kept.read_text("utf-8"))
    return found


def _schemas(text: bytes) -> dict[str, dict[str, Any]]:
    found = {}
    for crd in yaml.load_all(text, yaml.CSafeLoader):
        if not crd or crd["kind"] != "CustomResourceDefinition":
            continue
        group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
        for version in crd["spec"]["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= {
                "apiVersion": {"const": f"{group}/{version['name']}"},
                "kind": {"const": kind},
                "metadata": METADATA,
            }
            schema["required"] = sorted({*schema.get("required", []), "metadata"})
            found[f"{group}/{version['name']}/{kind}"] = schema
    return found


def strict(schema: Any) -> Any:
    """A structural OpenAPI v3 schema as JSON Schema that knows no other fields than its own."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {
        key: {name: strict(item) for name, item in value.items()}
        if key == "properties"
        else value
        if key in ("enum", "default")
        else strict(value)
        for key, value in schema.items()
        if key not in ("description", "x-kubernetes-validations")
    }
    if out.pop("x-kubernetes-int-or-string", False):
        out.pop("anyOf", None)
        out["type"] = ["integer", "string"]
    if out.get("type") == "object" and not out.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    if out.get("nullable"):
        out["type"] = [out["type"], "null"]
    return out


def _unique(validator: Any, kind: str, items: Any, schema: dict[str, Any]) -> Any:
    """Kubernetes refuses a list whose entries have equal keys where it merges by them."""
    if not isinstance(items, list) or kind == "atomic":
        return
    keys = schema.get("x-kubernetes-list-map-keys", [])
    seen = set()
    for item in items:
        if kind == "map" and not isinstance(item, dict):
            continue
        found = json.dumps([item.get(key) for key in keys] if kind == "map" else item)
        if found in seen:
            yield ValidationError(f"two entries are the same by {', '.join(keys) or 'value'}")
        seen.add(found)


_Strict = extend(Draft202012Validator, {"x-kubernetes-list-type": _unique})
