"""KServe's SDK without what a model server never calls, which is nearly half of its memory.

The SDK imports the Kubernetes client, for another face of it, and pandas, which imports Arrow where
it finds it, for requests as data frames. Both are put off until something of theirs is used.
"""

import importlib.util
import sys
from types import ModuleType

PUT_OFF = ("client", "config", "watch")


def import_sdk() -> None:
    """Import `kserve`; what it does without comes when it is first used."""
    if "kserve" in sys.modules:
        return
    if "kubernetes" not in sys.modules:
        _put_off("kubernetes", PUT_OFF)
    if "pandas" in sys.modules:
        importlib.import_module("kserve")
        return
    # The SDK's annotations name one class of pandas, which a lazy module would load for them.
    stand_in = ModuleType("pandas")
    stand_in.DataFrame = type("DataFrame", (), {})  # type: ignore[attr-defined]
    sys.modules["pandas"] = stand_in
    try:
        importlib.import_module("kserve")
    finally:
        del sys.modules["pandas"]
    pandas = _lazy("pandas")
    for name, module in list(sys.modules.items()):
        if name.startswith("kserve.") and getattr(module, "pd", None) is stand_in:
            module.pd = pandas  # type: ignore[attr-defined]


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
