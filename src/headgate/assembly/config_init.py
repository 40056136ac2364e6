"""The first settings file."""

from __future__ import annotations

import json
from pathlib import Path

from headgate.config.schema import settings_schema
from headgate.errors import ConfigError, StoreError

SCHEMA_FILE = "headgate.schema.json"
FIRST = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# Keys stand in the environment or in .env, never here. Check this file with: headgate config check
aliases:
  fast: openai/gpt-6-luna                       # clients may ask for "fast"
routes:
  chat:                                         # or for "chat": the first of these that can answer
    deployments: [openai/gpt-6-luna]
    fallback: [anthropic/claude-sonnet-4-5]
budgets:                                        # dollars; what would pass them is refused
  - {{scope: global, limit_usd: "50", window: month}}
limits:                                         # for each key of a client
  - {{subject: "key:*", rpm: 60}}
"""


def write_first(path: Path) -> tuple[Path, ...]:
    """Write a settings file, and the schema beside it where there is none; the files written. Raises `ConfigError` when it is there."""
    schema = path.with_name(SCHEMA_FILE)
    try:
        _write(path, FIRST)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; it stays as it is", hint=f"headgate config check {path}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    try:
        _write(schema, schema_text())
    except FileExistsError:
        return (path,)
    return path, schema


def schema_text() -> str:
    """The schema as indented JSON."""
    return json.dumps(settings_schema(), indent=1) + "\n"


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
