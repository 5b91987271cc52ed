"""The rules of the house, read from the files themselves: sizes, names, docs, and what may not be in them.

Who may import whom is in `test_import_rules.py`. Nothing of the project is imported here. A rule that must be
broken gets an entry with its reason in `LONG_FILES` or `LONG_FUNCTIONS`.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.source_files import OURS, ROOT, repository_files, short, sources, tree

FILE_LINES, FUNCTION_LINES = 400, 60
LONG_FILES: dict[str, str] = {}
"""Path from the root -> why it must be longer than FILE_LINES."""
LONG_FUNCTIONS: dict[str, str] = {}
"""path:name -> why it must be longer than FUNCTION_LINES."""
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "base"}
FILE_BYTES = 16 * 2**20
WEIGHTS_BYTES = 75 * 10**6


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is decorated as a dataclass."""
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def class_named(path: Path, name: str) -> ast.ClassDef:
    """The class of that name in a file."""
    return next(node for node in tree(path).body if isinstance(node, ast.ClassDef) and node.name == name)


def fields_and_docs(node: ast.ClassDef) -> dict[str, str]:
    """Field -> the string below it, "" where there is none."""
    found = {}
    for field, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            doc = below.value if isinstance(below, ast.Expr) else None
            found[field.target.id] = str(doc.value) if isinstance(doc, ast.Constant) else ""
    return found


def text_of(name: str) -> str:
    """A page of docs/, or "" when it is not written yet."""
    page = ROOT / "docs" / name
    return page.read_text(encoding="utf-8") if page.is_file() else ""


def dependencies() -> list[str]:
    """Package names in pyproject.toml, extras included; an extra that names another of ours is not one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for group in groups for line in group]
    return [name for name in names if name != project["name"]]


def test_files_and_functions_are_short() -> None:
    wrong = []
    for path in sources(*OURS, "tests"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES and short(path) not in LONG_FILES:
            wrong.append(f"{short(path)}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES and f"{short(path)}:{node.name}" not in LONG_FUNCTIONS:
                    wrong.append(f"{short(path)}:{node.lineno} {node.name}: {length} lines")
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is() -> None:
    wrong = []
    for path in sources(*OURS, "tests"):
        lines = len((ast.get_docstring(tree(path)) or "").splitlines())
        # A package and a test file may say it in one line; a module has more to say.
        least = 1 if path.name == "__init__.py" or short(path).startswith("tests/") else 2
        if not least <= lines <= 20:
            wrong.append(f"{short(path)}: docstring of {lines} lines, {least} to 20 wanted")
    assert not wrong, "\n".join(wrong)


def test_names_say_something() -> None:
    wrong = []
    for path in sources(*OURS, "tests"):
        words = {word for part in short(path).removesuffix(".py").split("/") for word in part.lower().split("_")}
        if words & EMPTY_NAMES:
            wrong.append(short(path))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                words = {word.lower() for word in re.findall(r"[A-Z][a-z0-9]*|[a-z0-9]+", node.name)}
                if words & EMPTY_NAMES:
                    wrong.append(f"{short(path)}:{node.lineno} class {node.name}")
    assert not wrong, f"name it after what it is or does: {wrong}"


def test_there_is_one_message_type() -> None:
    found = [
        f"{short(path)}: {node.name}"
        for path in sources(*OURS, "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Message")
    ]
    # A ChatMessage is a row: where a Message stands in a stored chat. No model or reward is given one.
    assert found == ["pipelines/core/character/character.py: Message", "pipelines/core/jobs/job.py: ChatMessage"]


def test_attributes_are_not_guessed() -> None:
    # Libraries differ in what their configs hold, so the model families may ask; nobody else has to.
    wrong = [
        f"{short(path)}:{node.lineno} {node.func.id}"
        for path in sources(*OURS)
        if not short(path).startswith("pipelines/models/")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr")
    ]
    assert not wrong, f"use the attribute itself: {wrong}"


def members(node: ast.ClassDef) -> set[str]:
    """Names of the functions in a class body."""
    return {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_protocol_has_two_implementations() -> None:
    classes = [
        (node, any("Protocol" in ast.unparse(parent) for parent in node.bases))
        for path in sources(*OURS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    ]
    protocols = [node for node, is_protocol in classes if is_protocol]
    assert "UnifiedModel" in {node.name for node in protocols}
    for protocol in protocols:
        wanted = members(protocol)
        keep = {node.name for node, is_protocol in classes if not is_protocol and wanted <= members(node)}
        assert len(keep) >= 2, f"{protocol.name} with {sorted(wanted)} is implemented by {sorted(keep) or 'nobody'}"
        if protocol.name == "UnifiedModel":
            assert {"StarterModel", "JanusModel"} <= keep


@pytest.mark.parametrize(("file", "name"), [("jobs/recipe.py", "Recipe"), ("settings.py", "Settings")])
def test_settings_are_explained_and_in_the_docs(file: str, name: str) -> None:
    node = class_named(ROOT / "pipelines" / "core" / file, name)
    assert is_dataclass(node)
    fields = fields_and_docs(node)
    assert fields
    bare = [field for field, doc in fields.items() if not doc]
    assert not bare, f"{name}: no docstring below {bare}"
    docs = text_of("training.md") + text_of("operations.md")
    # An environment variable is what people set, so it is the name that the page must give.
    shown = {field: doc.split(":")[0] if name == "Settings" else field for field, doc in fields.items()}
    missing = [word for word in shown.values() if f"`{word}`" not in docs]
    assert not missing, f"{name}: not in docs/training.md or docs/operations.md in backticks: {missing}"


def test_rewards_are_in_the_docs() -> None:
    body = tree(ROOT / "pipelines" / "rewards" / "rewards.py").body
    assigned = [
        node.value
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and "REWARDS" in {target.id for target in _targets(node) if isinstance(target, ast.Name)}
    ]
    assert len(assigned) == 1 and isinstance(assigned[0], ast.Dict), "REWARDS is one dict literal"
    names = [ast.literal_eval(key) for key in assigned[0].keys if key is not None]
    assert len(names) >= 5
    missing = [name for name in names if f"`{name}`" not in text_of("rewards.md")]
    assert not missing, f"not in docs/rewards.md: {missing}"
    handlers = [
        node.lineno
        for node in ast.walk(tree(ROOT / "pipelines" / "rewards" / "rewards.py"))
        if isinstance(node, ast.Try)
    ]
    assert not handlers, f"a reward that fails stops the run: pipelines/rewards/rewards.py:{handlers}"


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def test_a_panel_whose_title_changes_has_a_key() -> None:
    """Streamlit takes a panel with another title for a new one, and closes it under the hands of whoever uses it."""
    calls = [
        (path, node)
        for path in sources("studio")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("expander", "popover", "tabs")
    ]
    assert calls
    wrong = [
        f"{short(path)}:{node.lineno}"
        for path, node in calls
        if not isinstance(node.args[0], ast.Constant) and "key" not in {word.arg for word in node.keywords}
    ]
    assert not wrong, f"no key: {wrong}"


def test_renames_go_through_one_function() -> None:
    """`replace_durably` writes through to the disk first, so that no name stands over lost bytes after a power cut."""
    wrong = []
    for path in sources(*OURS):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, of = node.func.attr, ast.unparse(node.func.value)
            renames = name == "rename" or (name == "replace" and of != "os" and len(node.args) == 1)  # Path's own
            if renames or (of, name) in (("os", "replace"), ("os", "renames"), ("shutil", "move")):
                wrong.append(f"{short(path)}:{node.lineno}")
    assert len(wrong) == 1 and wrong[0].startswith("pipelines/core/durable.py:"), wrong


def test_commands_write_through_one_function() -> None:
    """`say` and `json_line` of `console.py` give the terminal no commands, whatever a name or an error holds."""
    allowed = {
        "pipelines/commands/console.py": 1,
        "pipelines/commands/env_file.py": 1,  # our own text
        "pipelines/commands/processes.py": 1,  # colours the name of a program itself
        "pipelines/cli.py": 1,  # the line of JSON
    }
    found = Counter(
        short(path)
        for path in sources("pipelines")
        for node in ast.walk(tree(path))
        if short(path).startswith(("pipelines/commands/", "pipelines/cli.py"))
        and isinstance(node, ast.Call)
        and ast.unparse(node.func) == "print"
    )
    assert dict(found) == allowed


def test_messages_name_commands_as_they_can_be_typed() -> None:
    """`as_typed` and `install_as_typed` of `command_line.py`: `understudy` and `pip` are on nobody's path by `make`."""
    allowed = {
        "pipelines/commands/env_file.py": "the head of .env.example, read where it was made",
        "pipelines/evaluation/model_card.py": "a README that goes elsewhere",
        "pipelines/training/trainer_mixin.py": "a README that goes elsewhere",
        "studio/actions/downloads.py": "lines of a zip for other machines",
        "pipelines/core/command_line.py": "where they are made",
    }
    command = r"\bunderstudy (?:train|chat|draw|evaluate|bench|character|doctor|up|jobs|gc|health|init-env)\b"
    named = re.compile(rf"{command}|\bpip install '?understudy")
    wrong = []
    for path in sources(*OURS):
        docs = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
        wrong += [
            f"{short(path)}:{node.lineno}: {node.value[:80]}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
            if named.search(node.value) and short(path) not in allowed
        ]
    assert not wrong, wrong


def test_parts_that_draw_themselves_again_tell_what_is_out_of_reach() -> None:
    """`widgets.live` says it plainly; what `st.fragment` alone raises is told in Streamlit's words for engineers."""
    found = [short(path) for path in sources("studio") if "st.fragment" in path.read_text(encoding="utf-8")]
    assert found == ["studio/widgets.py"], found


def test_dependencies_are_in_the_docs() -> None:
    page = text_of("dependencies.md").lower()
    missing = [name for name in dependencies() if f"`{name.lower()}`" not in page]
    assert not missing, f"no line in docs/dependencies.md for {missing}"


def test_makefile_commands_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        used = set(re.findall(r"`?\bmake ([a-z-]+)`", page.read_text(encoding="utf-8")))
        assert used <= targets, f"{page.name} names make targets that do not exist: {sorted(used - targets)}"


def test_links_between_pages_lead_somewhere() -> None:
    wrong = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                wrong.append(f"{short(page)}: {target}")
    assert not wrong, f"links to files that are not there: {wrong}"


def test_no_paths_of_one_machine_and_no_hosts_of_registries() -> None:
    # Letters in brackets, so that this file does not find itself.
    forbidden = re.compile(
        r"(?<![\w.])/(?:wor[k]|tmp/[w]|home/\w+)/"
        r"|index-ur[l]|find-link[s]|PIP_INDE[X]|files\.pythonhoste[d]|pypi\.org/simpl[e]|registry\.npmj[s]"
        r"|\b(?:10|192\.168)\.\d+\.\d+\.\d+\b"
    )
    slash = "/"
    assert forbidden.search(f"see {slash}work/main") and not forbidden.search("a/work/b, 3.10.2.1")
    wrong = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or weights
        wrong += [
            f"{short(path)}:{number} {match[0]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if (match := forbidden.search(line))
        ]
    assert not wrong, "\n".join(wrong)


def test_files_of_tests_have_names_of_their_own() -> None:
    # Test folders are no packages, so pytest takes two files of one name for one module.
    names = Counter(path.name for path in repository_files() if path.name.startswith("test_"))
    assert not (doubled := [name for name, count in names.items() if count > 1]), f"rename one of each: {doubled}"


def test_files_are_small_enough_for_a_repository() -> None:
    large = [short(path) for path in repository_files() if path.stat().st_size > FILE_BYTES]
    assert not large, f"over 16 MiB: {large}"


def test_the_starters_weights_are_here_and_small() -> None:
    folder = "pipelines/models/starter/weights/"
    sizes = [path.stat().st_size for path in repository_files() if short(path).startswith(folder)]
    assert sizes, f"{folder} is empty: run `python -m pipelines.starter_build.build export`"
    assert sum(sizes) <= WEIGHTS_BYTES, f"{sum(sizes)} bytes in {folder}, {WEIGHTS_BYTES} are allowed"
