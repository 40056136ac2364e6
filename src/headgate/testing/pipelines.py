"""A pipeline of a few questions, written to a folder, with whatever a test wants to spoil."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path

from headgate.batch.pipeline import unsupported_features
from headgate.batch.pipeline_load import load_pipeline

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


def runnable(name: str, folder: Path) -> bool:
    """Put a shipped pipeline below ``folder/pipelines``, where it is found by its name, as far as this version can run it.

    Tells whether units are sent back by its gates: where `retry_from` cannot be run it is left out, and what a gate refuses fails.
    """
    copy = folder / "pipelines" / name
    shutil.copytree(SHIPPED / name, copy)
    if not unsupported_features(load_pipeline(copy)):
        return True
    config = copy / "config.yaml"
    config.write_text(re.sub(r"(?m)^ +retry_from: .*\n", "", config.read_text(encoding="utf-8")), encoding="utf-8")
    return False
