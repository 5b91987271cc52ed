"""Every path, module, command and identifier in README.md and docs/ exists; docs/log.md is exempt, as history."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from pipelines.cli import parser
from pipelines.core.formats.chat_formats import read_conversations
from pipelines.core.settings import DEFAULT_HOME, Settings
from tests.source_files import ROOT, repository_files, short

PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "log.md")]
FOLDERS = ("pipelines", "studio", "worker", "tests", "docs", "requirements", "docker", "app_pages", "actions")
MADE_BY_RUNS = {
    "character.yaml",
    "test.yaml",
    "run.json",
    "result.json",
    "scores.json",
    "events.jsonl",
    "RUN/events.jsonl",
    "own-art-reader.jpg",
    "own-art-reader-answers.json",
    "replies.md",
    "runs/",
    "runs/bench-starter",
    "runs/bench-starter-quick",
}
"""Files that programs write; the pages describe them."""
ELSEWHERE = {"fully_shard", "HF_HOME"}
"""Names of libraries and formats that the pages explain and our code does not spell."""
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
IDENTIFIER = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\(\))?")


def in_backticks(page: Path) -> list[str]:
    """Inline code of a page; fenced blocks are left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@cache
def paths() -> frozenset[str]:
    """Every file of the repository and every folder with one in it, from the root."""
    files = {short(path) for path in repository_files()}
    return frozenset(files | {str(above) for file in files for above in Path(file).parents})


@cache
def words() -> frozenset[str]:
    """Every word of the code, its settings and the tests."""
    kinds = {".py", ".toml", ".yml", ".js", ".json", ".example"}
    skipped = ("tests/fixtures/", "tests/test_docs.py")
    texts = (
        path.read_text(encoding="utf-8")
        for path in repository_files()
        if path.suffix in kinds and not short(path).startswith(skipped)
    )
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def is_there(path: str) -> bool:
    """Whether a path is one of ours, from the root or from the end: `sft.py`, `training/sft.py`."""
    path = path.rstrip("/")
    return path in paths() or any(known.endswith(f"/{path}") for known in paths())


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_paths_exist(page: Path) -> None:
    wrong = []
    for code in in_backticks(page):
        for name in re.split(r"[\s,]+", code):
            if not PATH.fullmatch(name) or name in MADE_BY_RUNS:
                continue
            inside = name.partition("/")[0] in FOLDERS and "/" in name
            if (inside and "<" not in name) or re.search(r"\w\.(py|jsonl|js|css)$", name):
                wrong += [] if is_there(name) else [name]
    assert not wrong, f"{short(page)} names files that are not there: {wrong}"


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_modules_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    run = re.findall(r"python3? -m ((?:pipelines|studio|worker|tests)[\w.]*)", text)
    named = [code for code in in_backticks(page) if re.fullmatch(r"(?:pipelines|studio|worker|tests)(?:\.\w+)+", code)]
    wrong = []
    for module in {*run, *named}:
        path = module.rstrip(".").replace(".", "/")
        above, _, name = path.rpartition("/")
        if not {path, f"{path}.py"} & paths() and not (f"{above}.py" in paths() and name in words()):
            wrong.append(module)
    assert not wrong, f"{short(page)} names modules that are not there: {wrong}"


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_commands_exist(page: Path) -> None:
    usage = parser().format_help()
    commands = set(re.findall(r"^    ([a-z-]+)(?: |$)", usage, flags=re.MULTILINE))
    assert {"train", "gc", "init-env"} <= commands
    used = set(re.findall(r"(?:`|^|/)understudy ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert used <= commands, f"{short(page)} names commands that are not there: {sorted(used - commands)}"


def test_actions_of_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    used = set(re.findall(r"understudy (jobs|character|bench) ([a-z]+)", text))
    assert {("jobs", "continue"), ("character", "augment"), ("bench", "sft")} <= used
    for command, action in sorted(used):
        with pytest.raises(SystemExit) as end:
            parser().parse_args([command, action, "--help"])
        assert end.value.code == 0, f"the pages name `understudy {command} {action}`: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_identifiers_exist(page: Path) -> None:
    """A name in backticks with an underscore or a capital inside is in the code; `critic_` is a prefix."""
    wrong = []
    for code in in_backticks(page):
        if code.endswith("_") or not IDENTIFIER.fullmatch(code) or not re.search(r"_|[a-z][A-Z]", code):
            continue
        wrong += [code for word in code.removesuffix("()").split(".") if word not in words() | ELSEWHERE]
    assert not wrong, f"{short(page)} names what the code does not know: {sorted(set(wrong))}"


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_names_are_in_the_files_they_are_said_to_be_in(page: Path) -> None:
    """Of the two forms that the pages use: `name` in `file.py`, and `file.py` (`name`)."""
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    pairs = re.findall(r"`([\w.]+)`,? in `([\w/]+\.py)`", text)
    pairs += [(name, path) for path, name in re.findall(r"`([\w/]+\.py)` \(`([\w.]+)`", text)]
    wrong = []
    for name, path in pairs:
        files = [file for file in repository_files() if f"/{short(file)}".endswith(f"/{path}")]
        last = name.rpartition(".")[2]
        if not any(re.search(rf"\b{last}\b", file.read_text(encoding="utf-8")) for file in files):
            wrong.append(f"{name} in {path}")
    assert not wrong, f"{short(page)}: {wrong}"


def readme_section(title: str) -> str:
    """The part of the README below a heading."""
    return (ROOT / "README.md").read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_conversations_that_the_readme_shows_can_be_read() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", readme_section("Try it"), flags=re.MULTILINE | re.DOTALL)
    text = next(block for block in blocks if block.startswith("<START>"))
    lines = next(block for block in blocks if block.startswith("{"))
    for file, block, count in (("talks.txt", text, 2), ("talks.jsonl", lines, 1)):
        found = read_conversations(block, file, "Tova")
        assert [len(one) for one in found.interactions] == [2] * count, file
        assert not found.notes, file


def test_what_the_readme_begins_with_can_be_typed() -> None:
    """`make setup` puts nothing on the path; engineers, further down, know how to activate an environment."""
    bare = re.findall(r"^understudy .*|`understudy [a-z].*?`", readme_section("Try it"), flags=re.MULTILINE)
    assert not bare and ".venv/bin/understudy train" in readme_section("Try it")


def test_the_readme_says_where_work_is_kept_and_on_which_port() -> None:
    words = readme_section("Try it")
    assert f"http://localhost:{Settings.studio_port}" in words and "UNDERSTUDY_STUDIO_PORT" in words
    assert f"`{DEFAULT_HOME}`" in words and "UNDERSTUDY_HOME" in words


def test_the_page_for_creators_names_no_code() -> None:
    page = ROOT / "docs" / "studio.md"
    named = [code for code in in_backticks(page) if re.search(r"\.(?:py|js|css)$|[a-z]_[a-z]|[a-z][A-Z]|\w/\w", code)]
    assert set(named) <= {"~/.understudy"}, f"{named}: such things stand in docs/studio_code.md"


def test_architecture_is_three_pages() -> None:
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120


def test_the_glossary_defines_each_noun_once() -> None:
    rows = re.findall(
        r"^- \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    nouns = [noun.strip().lower() for row in rows for noun in row.split(",")]
    assert len(nouns) >= 40 and sorted(set(nouns)) == sorted(nouns)
