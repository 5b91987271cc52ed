"""Finished cases: kept at once, read again, and put aside when they were read with something else."""

from __future__ import annotations

from pathlib import Path

from pipelines.starter_build.bench.case_log import CaseLog

KEY = {"revision": "a", "settings": {"temperature": 0.3, "styles": ("one", "two")}}


def test_cases_are_read_again(tmp_path: Path) -> None:
    said: list[str] = []
    log = CaseLog(tmp_path / "deep" / "people.jsonl", KEY, said.append)
    log.add("0001", right=[True, False])
    log.add("0002", right=[])
    with log.file.open("a") as file:
        file.write('{"case": "0003", "ri')  # killed while it wrote
    again = CaseLog(log.file, KEY, said.append)
    assert "0001" in again and "0003" not in again and again.records == log.records and not said
    again.add("0003", right=[True])
    assert list(CaseLog(log.file, KEY).records) == ["0001", "0002", "0003"]


def test_another_key_begins_anew_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "people.jsonl"
    CaseLog(file, KEY, said.append).add("0001", right=[True])
    other = CaseLog(file, KEY | {"revision": "b"}, said.append)
    assert not other.records and said == [
        "people.jsonl: revision changed, so this part begins anew (earlier cases: people.jsonl.old)"
    ]
    assert "0001" in (tmp_path / "people.jsonl.old").read_text()
    other.add("0001", right=[False])
    assert CaseLog(file, KEY | {"revision": "b"}).records["0001"]["right"] == [False]
