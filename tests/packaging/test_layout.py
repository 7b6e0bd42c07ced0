"""The house: the package list, the version, and imports that point one way."""

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.components import __version__

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "components"
STEPS = sorted(path.parent.name for path in COMPONENTS.glob("*/component.py"))
FACES = sorted(COMPONENTS.glob("*/component.py"))
MODULES = sorted(COMPONENTS.rglob("*.py"))


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """The folder below components/ that a module is in; empty for components/ itself."""
    return path.parent.name if path.parent != COMPONENTS else ""


def imports(node: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported below a node; "package.name" of a from-import."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative import"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def imports_of(path: Path) -> set[str]:
    return set(imports(ast.parse(path.read_text())))


def is_below(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_setup_lists_every_package(setup: configparser.ConfigParser) -> None:
    listed = setup["options"]["packages"].split()
    found = [
        "shipway." + ".".join(path.parent.relative_to(ROOT).parts)
        for folder in ("components", "pipelines")
        for path in (ROOT / folder).rglob("__init__.py")
    ]
    assert listed == sorted(found)


def test_every_module_is_in_a_package() -> None:
    folders = {
        path.parent for top in ("components", "pipelines") for path in (ROOT / top).rglob("*.py")
    }
    assert [label(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_version_is_one(setup: configparser.ConfigParser) -> None:
    assert setup["metadata"]["version"] == __version__


def test_there_are_steps() -> None:
    assert {"ingest", "validate", "train", "deploy", "release"} <= set(STEPS)


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_imports_point_one_way(path: Path) -> None:
    own = {"shipway.components.__version__", "shipway.components.lib"}
    allowed = [f"shipway.components.{name}" for name in {room(path), "lib"} if name]
    wrong = [
        name
        for name in imports_of(path)
        if is_below(name, "shipway") and name not in own and not is_below(name, *allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_only_faces_know_kfp(path: Path) -> None:
    if path.name != "component.py":
        assert not any(is_below(name, "kfp") for name in imports_of(path))


@pytest.mark.parametrize("path", FACES, ids=label)
def test_faces_are_thin(path: Path) -> None:
    tree = ast.parse(path.read_text())
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in top:
        assert all(
            is_below(name, "typing", "kfp", "shipway.components.lib.images")
            for name in imports(node)
        )
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(functions) == 1
    options = {
        option.arg: ast.literal_eval(option.value)
        for decorator in functions[0].decorator_list
        if isinstance(decorator, ast.Call)
        for option in decorator.keywords
        if isinstance(option.value, ast.Constant)
    }
    assert options.get("install_kfp_package") is False
    assert "packages_to_install" not in ast.dump(tree)


def test_shared_and_logic_modules_import_without_kfp_and_tensorflow() -> None:
    names = [
        "shipway." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if path.name not in ("component.py", "__init__.py", "__main__.py")
    ]
    code = (
        "import importlib, sys\n"
        "for name in ('kfp', 'tensorflow', 'tensorflow_data_validation', 'tfx_bsl'):\n"
        "    sys.modules[name] = None\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
