"""The results of a sweep in one table."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnir.errors import Diagnostic
from snnir.files import write_atomically
from snnir.sweep.config import Sweep

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A row for each point, in the order of the sweep.

    Attributes:
        columns: Parameters, state, what is reported, seconds and error.
        rows: Cells by column; a cell that there is nothing for is absent.
        findings: Columns that were asked for and that no result has.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    findings: tuple[Diagnostic, ...]

    @classmethod
    def of(
        cls, results: Sequence[tuple[Mapping[str, Any], str, Mapping[str, Any]]], sweep: Sweep
    ) -> Table:
        """The table of values, keys and results of points."""
        parameters = list(dict.fromkeys(name for values, _, _ in results for name in values))
        contents = [_flat(result.get("results", {})) for _, _, result in results]
        last = f"{sweep.steps[-1].name}."
        numbers = dict.fromkeys(
            column
            for content in contents
            for column, value in content.items()
            if column.startswith(last) and not isinstance(value, (bool, str))
        )
        reported = list(sweep.report) or list(numbers)
        rows = []
        for (values, key, result), content in zip(results, contents, strict=True):
            row: Row = {**values, "state": result["state"]}
            row |= {column: content[column] for column in reported if column in content}
            row |= {"seconds": result.get("seconds"), "key": key}
            if "error" in result:
                row["error"] = _error_text(result)
            rows.append(row)
        finished = [row for row in rows if row["state"] == "finished"]
        known = ", ".join(sorted({column for content in contents for column in content}))
        findings = [
            Diagnostic(
                "sweep.report", f"report '{column}'", "no result has it", known[:2000] or "nothing"
            )
            for column in reported
            if finished and not any(column in row for row in finished)
        ]
        columns = (*parameters, "state", *reported, "seconds", "key", "error")
        return cls(columns, tuple(rows), tuple(findings))

    @property
    def unfinished(self) -> int:
        """Number of points that failed or were stopped."""
        return sum(row["state"] != "finished" for row in self.rows)

    def csv(self) -> str:
        """The table as comma-separated values, with a header."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()

    def to_json(self) -> dict[str, Any]:
        """The table as a JSON object."""
        return {"columns": list(self.columns), "rows": [dict(row) for row in self.rows]}

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write ``table.csv`` and ``table.json``.

        Raises:
            FileError: If they cannot be written.
        """
        content = {
            "table.csv": self.csv(),
            "table.json": json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n",
        }
        for name, text in content.items():
            data = text.encode("utf-8", "replace")
            write_atomically(Path(folder) / name, _writer(data))

    def lines(self) -> Iterator[tuple[str, ...]]:
        """The table as people read it: a header and rows, without keys."""
        shown = [
            column
            for column in self.columns
            if column != "key" and any(column in row for row in self.rows)
        ]
        yield tuple(shown)
        for row in self.rows:
            yield tuple(_shown(row.get(column)) for column in shown)


def _writer(data: bytes) -> Any:
    return lambda file: file.write(data)


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Texts and numbers in nested objects, by the names that lead to them."""
    if isinstance(content, Mapping):
        found: dict[str, Any] = {}
        for key, value in content.items():
            found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
        return found
    if isinstance(content, list) and all(isinstance(entry, Mapping) for entry in content):
        return _flat({str(number): entry for number, entry in enumerate(content)}, prefix)
    if isinstance(content, (str, int, float)):
        return {prefix: content}
    return {}


def _error_text(result: Mapping[str, Any]) -> str:
    entries = result["error"] if isinstance(result["error"], list) else [result["error"]]
    texts = []
    for entry in entries:
        if isinstance(entry, Mapping) and "code" in entry:
            texts.append(f"[{entry['code']}] {entry.get('where')}: {entry.get('found')}")
        else:
            text = entry.get("message", "") if isinstance(entry, Mapping) else str(entry)
            texts.append(text.strip().splitlines()[-1] if text.strip() else "failed")
    step = result.get("failed_step")
    return (f"{step}: " if step else "") + "; ".join(texts)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
