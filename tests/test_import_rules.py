"""Which module may import which, read from the syntax trees: the order of the packages, no cycles, a torch-free core.

Nothing of the project is imported here, except in one subprocess that proves the torch-free core. What stands under
`if TYPE_CHECKING:` is left out: it is never run.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.source_files import OURS, ROOT, short, sources, tree

PACKAGE_ORDER = (
    "core",
    "models",
    "data",
    "rewards",
    "training",
    "inference",
    "evaluation",
    "train",
    "benchmarks",
    "commands",
    "cli",
)
"""What stands in `pipelines`: each may import itself and those before it."""
STARTER_BUILD_CALLERS = {"pipelines.commands.bench"}
"""Who may import `pipelines.starter_build`, inside a function: `understudy bench starter`."""
HEAVY = ("torch", "transformers", "peft", "trl")


class Import(NamedTuple):
    """One import statement of a file, or one name of it."""

    target: str
    """Dotted; `from a import b` gives `a.b`."""
    line: int
    in_function: bool


def module_name(path: Path) -> str:
    """`pipelines/core/settings.py` -> `pipelines.core.settings`; a package is its folder."""
    return short(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(path: Path) -> Iterator[Import]:
    """Every import that is run at some time."""

    def walk(node: ast.AST, in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, in_function) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                start = "." * child.level + (child.module or "")
                yield from (Import(f"{start}.{alias.name}", child.lineno, in_function) for alias in child.names)
            yield from walk(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    return walk(tree(path), False)


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of all modules and packages of ours."""
    return {module_name(path): path for path in sources(*OURS)}


def module_of(target: str) -> str | None:
    """The module of ours that a dotted target is, or is a name of; None for a library's."""
    known = modules()
    return target if target in known else parent if (parent := target.rpartition(".")[0]) in known else None


@cache
def module_graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, in functions too."""
    found = {name: {module_of(one.target) for one in imports_of(path)} for name, path in modules().items()}
    return {name: {target for target in targets if target} - {name} for name, targets in found.items()}


def cycle_in(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The nodes of one cycle, the first repeated at the end; [] without one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def is_under(module: str, package: str) -> bool:
    """Whether a dotted name is the package or inside it."""
    return module == package or module.startswith(package + ".")


def allowed(importer: str, target: str, in_function: bool) -> bool:
    """Whether a module of ours may import a module of ours. Dotted names."""
    core = is_under(target, "pipelines.core")
    if is_under(importer, "studio"):
        return core or is_under(target, "studio")
    if is_under(importer, "worker"):
        return core or is_under(target, "worker") or (in_function and is_under(target, "pipelines"))
    if not is_under(target, "pipelines"):
        return False
    if is_under(target, "pipelines.starter_build"):
        return is_under(importer, "pipelines.starter_build") or (in_function and importer in STARTER_BUILD_CALLERS)
    if is_under(importer, "pipelines.starter_build"):
        return True
    place = {name: number for number, name in enumerate(PACKAGE_ORDER)}
    return place[target.split(".")[1]] <= place[importer.split(".")[1]]


@pytest.mark.parametrize(
    ("importer", "target", "in_function", "right"),
    [
        ("studio.app", "pipelines.core.settings", False, True),
        ("studio.app", "pipelines.train", True, False),
        ("worker.tasks", "pipelines.train.train", True, True),
        ("worker.tasks", "pipelines.train.train", False, False),
        ("worker.tasks", "studio.app", True, False),
        ("pipelines.core.settings", "pipelines.data.samples", True, False),
        ("pipelines.core.settings", "pipelines.coreless", False, False),
        ("pipelines.rewards.rewards", "pipelines.data.samples", False, True),
        ("pipelines.data.samples", "pipelines.rewards.rewards", True, False),
        ("pipelines.models.interface", "pipelines.rewards.judge", True, False),
        ("pipelines.starter_build.measure", "pipelines.evaluation.scorecard", False, True),
        ("pipelines.evaluation.scorecard", "pipelines.starter_build.measure", True, False),
        ("pipelines.commands.bench", "pipelines.starter_build.measure", True, True),
        ("pipelines.commands.bench", "pipelines.starter_build.measure", False, False),
        ("pipelines.cli", "worker.runner", True, False),
    ],
)
def test_the_rule_of_directions_knows_right_from_wrong(
    importer: str, target: str, in_function: bool, right: bool
) -> None:
    if target == "pipelines.coreless":
        with pytest.raises(KeyError):
            allowed(importer, target, in_function)
        return
    assert allowed(importer, target, in_function) is right


def test_every_module_of_pipelines_has_its_place_in_the_order() -> None:
    parts = {name.split(".")[1] for name in modules() if name.startswith("pipelines.")}
    assert parts == {*PACKAGE_ORDER, "starter_build"}


def test_imports_point_one_way() -> None:
    wrong = [
        f"{short(path)}:{one.line} imports {one.target}"
        for name, path in modules().items()
        for one in imports_of(path)
        if (target := module_of(one.target)) and target != "pipelines" and not allowed(name, target, one.in_function)
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_are_absolute() -> None:
    wrong = [
        f"{short(path)}:{one.line}"
        for path in sources(*OURS, "tests")
        for one in imports_of(path)
        if one.target.startswith(".")
    ]
    assert not wrong, f"relative imports: {wrong}"


def test_files_do_not_import_each_other_in_a_circle() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) and not cycle_in({"a": {"b", "c"}, "b": {"c"}})
    assert not cycle_in(module_graph()), " -> ".join(cycle_in(module_graph()))


def test_packages_do_not_import_each_other_in_a_circle() -> None:
    """In every folder its files and subfolders, each taken as one, form a graph without cycles."""
    folders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for importer, targets in module_graph().items():
        for target in targets:
            above, below = importer.split("."), target.split(".")
            shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(above, below, strict=False))]
            if len(shared) < min(len(above), len(below)):  # neither is the package that the other is in
                folder = ".".join(shared)
                folders[folder][above[len(shared)]].add(below[len(shared)])
    assert {"pipelines", "pipelines.core", "pipelines.models"} <= set(folders)
    wrong = {folder: cycle for folder, graph in folders.items() if (cycle := cycle_in(graph))}
    assert not wrong, "\n".join(f"in {folder}: {' -> '.join(cycle)}" for folder, cycle in wrong.items())


def test_core_studio_and_the_command_line_load_no_torch() -> None:
    light = [name for name in modules() if is_under(name, "pipelines.core") or is_under(name, "studio")]
    assert "pipelines.core.jobs.recipe" in light
    light.append("pipelines.cli")  # its commands import heavy libraries when they run, so `--help` is quick
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "    if found: sys.exit(f'importing {name} loads {found}')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
