"""A pipeline of a few questions, written to a folder, with whatever a test wants to spoil."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

CONFIG = """\
pipeline:
  name: Quiz
  steps:
    - name: ask
      prompt_template: ask.jinja2
api:
  provider: sim-openai
processing:
  strategy: direct
  chunk_size: 10
  items:
    source: items.yaml
    key: questions
prompts:
  templates:
    ask: ask.jinja2
schemas:
  files:
    ask: ask.json
validation:
  ask:
    required: [answer]
"""
ITEMS = "questions:\n" + "".join(f"  - id: q{n}\n    text: question {n}\n" for n in range(6))
TEMPLATE = "Answer this. answer: {{ text }}\n"
SCHEMA = '{"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": false}'


def write_quiz(
    folder: Path, *, config: str = CONFIG, items: str = ITEMS, template: str = TEMPLATE, schema: str = SCHEMA, name: str = "Quiz"
) -> Path:
    """Write the pipeline below ``folder/pipelines`` and return its folder."""
    home = folder / "pipelines" / name
    for path, text in (("config.yaml", config), ("items.yaml", items), ("templates/ask.jinja2", template), ("schemas/ask.json", schema)):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text, encoding="utf-8")
    return home


SHIPPED = Path(str(resources.files("headgate") / "pipelines"))
"""The pipelines that come with the package."""


def copy_shipped(name: str, folder: Path, *, repeat: int) -> Path:
    """A shipped pipeline below ``folder/pipelines``, found there by its name, with so many copies of each unit; returns its folder."""
    copy = folder / "pipelines" / name
    shutil.copytree(SHIPPED / name, copy)
    config = copy / "config.yaml"
    lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = [f"  repeat: {repeat}\n" if line.startswith("  repeat: ") else line for line in lines]
    config.write_text("".join(changed), encoding="utf-8")
    return copy
