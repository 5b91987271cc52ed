"""The finished cases of a part, one JSON line each, so that an interrupted benchmark goes on where it stopped.

The first line is the key: weights, graders and settings that the cases were read with. A file with another key is put
aside (`.old`) and its part begins anew. A line that a crash cut off is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.core.durable import replace_durably


class CaseLog:
    """Case -> record, in memory and in a file."""

    def __init__(self, file: Path, key: Mapping[str, Any], say: Callable[[str], None] = print) -> None:
        """Read what is there. key: JSON; say: gets a line when earlier cases do not count."""
        self.file = file
        self.key: dict[str, Any] = json.loads(json.dumps(dict(key)))  # as it reads from a file: lists, not tuples
        self.records: dict[str, dict[str, Any]] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(file)
        kept = lines[0].get("key") if lines else None
        if kept != self.key:
            if lines:
                replace_durably(file, file.with_name(f"{file.name}.old"))
                changed = _changed(kept, self.key)
                say(f"{file.name}: {changed} changed, so this part begins anew (earlier cases: {file.name}.old)")
            lines = []
            self._write({"key": self.key}, "w")
        for record in lines[1:]:
            self.records[record["case"]] = record

    def __contains__(self, case: object) -> bool:
        return case in self.records

    def add(self, case: str, **record: Any) -> None:
        """Keep a finished case; it is on the disk when this returns."""
        self._write({"case": case, **record}, "a")
        self.records[case] = {"case": case, **record}

    def _write(self, line: Mapping[str, Any], mode: str) -> None:
        with self.file.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    """The lines that are whole; the file is cut behind the last one of them."""
    if not file.is_file():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        file.write_bytes(whole)
    return [json.loads(line) for line in whole.decode("utf-8").splitlines()]


def _changed(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    names = [name for name in after if (before or {}).get(name) != after[name]]
    return ", ".join(names) or "the settings"
