"""Folders such as Octobatch leaves, written by tests: chunks, files and a manifest, whole or with whatever a test wants to spoil."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from headgate.wire.json import Json, JsonObject

CONFIG = """\
pipeline:
  name: Quiz
  steps:
{steps}
api:
  provider: sim-openai
processing:
  strategy: direct
  chunk_size: 3
  items:
    source: items.yaml
    key: questions
prompts:
  templates: {{ask: ask.jinja2, grade: grade.jinja2}}
schemas:
  files: {{ask: ask.json, grade: grade.json}}
validation:
  ask:
    required: [answer]
  grade:
    required: [grade]
"""
ASK = "    - name: ask\n      prompt_template: ask.jinja2"
COUNT = "    - name: count\n      scope: expression\n      expressions:\n        letters: len(answer)"
SPREAD = "    - name: spread\n      scope: fan_out\n      field: parts\n      child_field: part"
GRADE = "    - name: grade\n      prompt_template: grade.jinja2"
SUM = "    - name: keep\n      scope: run\n      script: scripts/extract_units.py\n      output_dir: kept"
FIELDS = {"ask": {"answer": {"type": "string"}}, "grade": {"grade": {"type": "string"}}}
LLM = frozenset({"ask", "grade"})
TOKENS = (10, 5)
"""Tokens in and out of every answer."""


class OctobatchRun:
    """A run folder being written. `steps` are the snippets above."""

    def __init__(self, folder: Path, steps: Sequence[str] = (ASK, COUNT, GRADE)) -> None:
        self.folder = folder
        names = [step.split("name: ")[1].split("\n")[0] for step in steps]
        self.names = [name for name, step in zip(names, steps, strict=True) if "scope: run" not in step]
        self.chunks: dict[str, JsonObject] = {}
        self.metadata: JsonObject = {
            "pipeline_name": "Quiz",
            "start_time": "2026-01-02T03:04:05Z",
            "end_time": "2026-01-02T04:04:05Z",
            "provider": "sim-openai",
            "model": None,
            "mode": "batch",
        }
        self.extra: JsonObject = {"status": "running", "created": "2026-01-02T03:04:05Z", "updated": "2026-01-02T04:04:05Z"}
        whole = CONFIG.format(steps="\n".join(steps))
        for name in LLM - set(names):
            kept = [line for line in whole.splitlines() if line not in (f"  {name}:", f"    required: [{next(iter(FIELDS[name]))}]")]
            whole = "\n".join(kept).replace(f"{name}: {name}.jinja2", "").replace(f"{name}: {name}.json", "").replace(", }", "}") + "\n"
        self.text("config/config.yaml", whole)
        items = "questions:\n" + "".join(f"  - id: q{n}\n    text: question {n}\n    parts: [a, b]\n" for n in range(10))
        self.text("config/items.yaml", items)
        for name in LLM:
            self.text(f"config/templates/{name}.jinja2", "Do this. {{ text }}\n")
            schema = {"type": "object", "properties": FIELDS[name], "required": list(FIELDS[name])}
            self.text(f"config/schemas/{name}.json", json.dumps(schema))

    def text(self, path: str, text: str) -> Path:
        """Write a file."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def rows(self, path: str, rows: Sequence[Json], *, packed: bool = False) -> Path:
        """Write a JSONL file, gzipped if `packed`."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if not packed:
            return self.text(path, text)
        target = self.folder / f"{path}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(text.encode()))
        return target

    def unit(self, n: int) -> JsonObject:
        """The record of a unit at the first step."""
        return {"unit_id": f"q{n}", "text": f"question {n}", "parts": ["a", "b"]}

    def chunk(self, name: str, state: str, units: Sequence[JsonObject], **entry: Json) -> None:
        """A chunk with its units."""
        self.chunks[name] = {"state": state, "batch_id": None, "items": len(units), "valid": 0, "failed": 0, "retries": 0, **entry}
        self.rows(f"chunks/{name}/units.jsonl", units)

    def answered(self, chunk: str, step: str, units: Sequence[JsonObject], bad: Sequence[str] = (), *, packed: bool = False) -> list[Json]:
        """All files of a step at which `units` were answered; those whose ids are `bad` fail. Returns the records of the valid ones."""
        valid = [done(step, unit) for unit in units if unit["unit_id"] not in bad]
        if step in LLM:
            self.rows(
                f"chunks/{chunk}/{step}_prompts.jsonl", [{"unit_id": unit["unit_id"], "prompt": "…"} for unit in units], packed=packed
            )
            self.rows(f"chunks/{chunk}/{step}_results.jsonl", [answer(step, unit["unit_id"]) for unit in units], packed=packed)
        self.rows(f"chunks/{chunk}/{step}_validated.jsonl", valid, packed=packed)
        failures = [failure(step, unit) for unit in units if unit["unit_id"] in bad]
        if failures:
            self.rows(f"chunks/{chunk}/{step}_failures.jsonl", failures, packed=packed)
        self.chunks[chunk] |= {"valid": len(valid), "failed": self.chunks[chunk]["failed"] + len(failures)}
        return valid

    def close(self, **extra: Json) -> Path:
        """Write the manifest."""
        whole = {
            "config": "config/config.yaml",
            "pipeline": self.names,
            "chunks": self.chunks,
            "metadata": self.metadata,
            **self.extra,
            **extra,
        }
        self.text("MANIFEST.json", json.dumps(whole))
        return self.folder


def answer(step: str, uid: str) -> JsonObject:
    """A line of results."""
    field = next(iter(FIELDS[step]))
    return {
        "unit_id": uid,
        field: f"{field} of {uid}",
        "_raw_text": json.dumps({field: f"{field} of {uid}"}),
        "_metadata": {"input_tokens": TOKENS[0], "output_tokens": TOKENS[1], "model": "model-x", "finish_reason": "STOP"},
    }


def done(step: str, unit: JsonObject) -> JsonObject:
    """The record of a unit that came through a step."""
    uid = unit["unit_id"]
    if step in LLM:
        return {**unit, **answer(step, uid)}
    return {**unit, "letters": len(str(unit.get("answer", ""))), "_metadata": {"iterations": 1}}


def failure(step: str, unit: JsonObject) -> JsonObject:
    """The record of a unit that failed at a step."""
    return {
        "unit_id": unit["unit_id"],
        "failure_stage": "schema_validation",
        "step": step,
        "input": unit,
        "raw_response": '{"nothing": 1}',
        "errors": [{"path": "$", "rule": "schema_required", "message": "a field is missing"}],
        "retry_count": unit.get("retry_count", 0),
    }


def children(unit: JsonObject) -> list[JsonObject]:
    """What a fan_out over `parts` makes of a unit."""
    return [
        {**unit, "part": part, "unit_id": f"{unit['unit_id']}__fan{at:03d}", "_fan_index": at, "_fan_parent_id": unit["unit_id"]}
        for at, part in enumerate(unit["parts"])
    ]
