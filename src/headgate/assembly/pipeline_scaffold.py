"""The beginnings of a pipeline, as files that can be checked and run at once."""

from __future__ import annotations

import re
from pathlib import Path

from headgate.batch.config_reader import did_you_mean
from headgate.batch.pipeline_schema import pipeline_schema_text
from headgate.errors import UsageError

SCHEMA_FILE = "pipeline.schema.json"
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


def planned_pipeline(name: str, template: str, parent: Path, *, with_schema: bool, force: bool) -> dict[Path, str]:
    """The files to be written, with their content. Raises `UsageError` for a name that is none, and when one of them is there."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a pipeline: use letters, digits, dashes and underscores, a letter first")
    if template not in TEMPLATES:
        raise UsageError(f"there is no template {template!r}", hint=did_you_mean(template, TEMPLATES))
    folder = parent / name
    files = {folder / path: text.replace("<name>", name) for path, text in TEMPLATES[template].items()}
    if with_schema:
        files[folder / "config.yaml"] = SCHEMA_LINE + files[folder / "config.yaml"]
        files[folder / SCHEMA_FILE] = pipeline_schema_text()
    there = [path for path in files if path.exists()]
    if there and not force:
        raise UsageError(f"{there[0]} is there already; nothing was written", hint="choose another name, or add --force to write over it")
    return files


def write_pipeline(files: dict[Path, str]) -> None:
    """Write the files. Raises `UsageError` when one cannot be."""
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror or error}", hint=f"ls -ld {path.parent}") from error


_WHERE_TO = """\
# Where the model is. Left out: --provider and --model, else the defaults of the settings.
api:
  # provider: openai
  # model: gpt-4o-mini
  max_tokens: 300                     # of an answer; bounds what a call can cost
"""

_WORK = """\
# What the units of work are: with "direct", one for each item.
processing:
  strategy: direct
  chunk_size: 100                     # units that travel together
  items:
    source: items.yaml
    key: <items>
    name_field: id                    # makes a unit's id
"""

_ASKED = """\
# A step that asks a model is named under prompts.templates, schemas.files and validation as well.
prompts:
  template_dir: templates
  templates:
    <step>: <step>.jinja2

schemas:
  schema_dir: schemas
  files:
    <step>: <step>.json

"""


def _config(step: str, items: str, what: str, validation: str) -> str:
    head = f"""\
# Check it:    headgate validate <name>
# Estimate it: headgate run <name> --plan --provider openai
# Try it:      headgate sim, and beside it: headgate run <name> --provider sim-openai
pipeline:
  name: <name>
  description: {what}
  steps:
    - name: {step}
      params:
        temperature: 0
      max_attempts: 3                 # answers a unit may need until one holds

"""
    return head + _WHERE_TO + "\n" + _WORK.replace("<items>", items) + "\n" + _ASKED.replace("<step>", step) + validation


_CLASSIFY = {
    "config.yaml": _config(
        "classify",
        "texts",
        "Put each text into one of a few classes",
        """\
# What must hold of an answer; one that breaks a rule is asked for again.
validation:
  classify:
    required: [label, reason]
    enums:
      label: [praise, complaint, question]
    rules:
      - name: reason_is_given
        expr: "len(reason.strip()) >= 3"
        error: "a reason is missing"
""",
    ),
    "items.yaml": """\
texts:
  - id: t1
    text: The parcel came a day early, thank you!
  - id: t2
    text: The lid was broken when I opened it.
  - id: t3
    text: Can I use it outdoors in winter?
""",
    "templates/classify.jinja2": """\
Which class does this text belong to: praise, complaint or question?
Answer with JSON: {"label": one of the three, "reason": a few words}

Text: {{ text }}
{% if _retry is defined %}
Your last answer was not accepted: {{ _retry.errors }}
{% endif %}
""",
    "schemas/classify.json": """\
{
  "type": "object",
  "properties": {
    "label": {"type": "string", "enum": ["praise", "complaint", "question"]},
    "reason": {"type": "string", "minLength": 3, "maxLength": 200}
  },
  "required": ["label", "reason"],
  "additionalProperties": false
}
""",
}

_EXTRACT = {
    "config.yaml": _config(
        "extract",
        "letters",
        "Take the same fields out of each text",
        """\
# What must hold of an answer; one that breaks a rule is asked for again.
validation:
  extract:
    required: [sender, amount, items]
    ranges:
      amount: [0, 1000000]            # both ends belong to it; null leaves one open
""",
    ),
    "items.yaml": """\
letters:
  - id: l1
    text: "Dear Sirs, we ordered two lamps for 80 euros on 3 May and have not got them. Ada Berg"
  - id: l2
    text: "Please find enclosed our invoice of 1200 euros for twelve chairs. Holm & Sons"
""",
    "templates/extract.jinja2": """\
Read this letter and answer with JSON: {"sender": who wrote it, "amount": euros as a number, "items": a list of what it is about}

{{ text }}
{% if _retry is defined %}
Your last answer was not accepted: {{ _retry.errors }}
{% endif %}
""",
    "schemas/extract.json": """\
{
  "type": "object",
  "properties": {
    "sender": {"type": "string", "maxLength": 100},
    "amount": {"type": "number", "minimum": 0, "maximum": 1000000},
    "items": {"type": "array", "items": {"type": "string", "maxLength": 60}, "minItems": 1, "maxItems": 10}
  },
  "required": ["sender", "amount", "items"],
  "additionalProperties": false
}
""",
}

_EXPRESSION = {
    "config.yaml": """\
# Computes, asks no model and costs nothing.
# Check it: headgate validate <name>
# Run it:   headgate run <name>
pipeline:
  name: <name>
  description: Throw two dice until they show what each player waits for
  steps:
    - name: throw
      scope: expression
      init:                           # once for each unit
        throws: "0"
      expressions:                    # in order, each seeing the ones before; again until loop_until holds
        first: "random.randint(1, 6)"
        second: "random.randint(1, 6)"
        total: "first + second"
        throws: "throws + 1"
      loop_until: "total >= wanted"
      max_iterations: 1000
      on_timeout: fail

"""
    + _WORK.replace("<items>", "players").replace("  chunk_size", "  repeat: 10                          # copies of each\n  chunk_size")
    + """\
  seed: 7                             # the same seed gives the same throws

# What must hold of a unit; one that breaks a rule fails.
validation:
  throw:
    ranges:
      throws: [1, 1000]
    rules:
      - name: enough
        expr: "total >= wanted"
        error: "{total} is less than {wanted}"
""",
    "items.yaml": """\
players:
  - {id: ada, wanted: 10}
  - {id: bo, wanted: 12}
""",
}

_FAN_OUT = {
    "config.yaml": """\
# Each text becomes several units, one for each claim in it; how many is only known when the answers are there.
# Check it:    headgate validate <name>
# Estimate it: headgate run <name> --plan --provider openai --fan-out 4
# Try it:      headgate sim, and beside it: headgate run <name> --provider sim-openai
pipeline:
  name: <name>
  description: Take the claims out of each text, and judge each claim
  steps:
    - name: claims
      params:
        temperature: 0
    - name: each
      scope: fan_out
      field: claims                   # a list; each element becomes a unit
      child_field: claim
    - name: judge
      params:
        temperature: 0

"""
    + _WHERE_TO
    + "\n"
    + _WORK.replace("<items>", "texts")
    + """
# A step that asks a model is named under prompts.templates, schemas.files and validation as well.
prompts:
  template_dir: templates
  templates:
    claims: claims.jinja2
    judge: judge.jinja2

schemas:
  schema_dir: schemas
  files:
    claims: claims.json
    judge: judge.json

# What must hold of an answer; one that breaks a rule is asked for again.
validation:
  claims:
    required: [claims]
  judge:
    required: [verdict]
    enums:
      verdict: [plausible, doubtful]
""",
    "items.yaml": """\
texts:
  - id: t1
    text: The bridge was built in 1890. It carries trains only.
  - id: t2
    text: Honey does not spoil. Bees visit two million flowers for a pound of it.
""",
    "templates/claims.jinja2": """\
Which claims does this text make? Answer with JSON: {"claims": a list of short sentences}

Text: {{ text }}
""",
    "templates/judge.jinja2": """\
Is this claim plausible or doubtful? Answer with JSON: {"verdict": one of the two}

Claim: {{ claim }}
""",
    "schemas/claims.json": """\
{
  "type": "object",
  "properties": {
    "claims": {"type": "array", "items": {"type": "string", "maxLength": 200}, "minItems": 1, "maxItems": 6}
  },
  "required": ["claims"],
  "additionalProperties": false
}
""",
    "schemas/judge.json": """\
{
  "type": "object",
  "properties": {"verdict": {"type": "string", "enum": ["plausible", "doubtful"]}},
  "required": ["verdict"],
  "additionalProperties": false
}
""",
}

TEMPLATES: dict[str, dict[str, str]] = {"classify": _CLASSIFY, "extract": _EXTRACT, "expression": _EXPRESSION, "fan_out": _FAN_OUT}
"""The files of each template, by path inside the pipeline's folder."""
