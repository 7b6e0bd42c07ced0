"""KServe's SDK without what a model server never calls, which is a third of its memory.

The SDK imports the Kubernetes client, for another face of it, and pandas, which imports Arrow where
it finds it. The client is put off until it is asked for; Arrow is hidden from pandas meanwhile.
"""

import importlib.util
import sys
from types import ModuleType

PUT_OFF = ("client", "config", "watch")


def import_sdk() -> None:
    """Import `kserve`; what it imports is whole again, or comes when it is first used."""
    if "kserve" in sys.modules:
        return
    if "kubernetes" not in sys.modules:
        _put_off("kubernetes", PUT_OFF)
    hidden = "pyarrow" not in sys.modules and "pandas" not in sys.modules
    if hidden:
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("kserve")
    finally:
        if hidden:
            del sys.modules["pyarrow"]


def _put_off(name: str, parts: tuple[str, ...]) -> None:
    """Stand in for a package whose parts load themselves at the first use."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    for part in parts:
        setattr(package, part, _lazy(f"{name}.{part}"))


def _lazy(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"There is no module '{name}'.")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
