"""``headgate new`` and ``headgate schema``."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.assembly.pipeline_scaffold import planned_pipeline, write_pipeline
from headgate.batch.pipeline_schema import pipeline_schema_text

HERE = Path("pipelines")
"""Where pipelines are found by name."""


def pipeline(name: str, template: str, folder: str, with_schema: bool, force: bool) -> int:
    """See `headgate new pipeline --help`."""
    parent = Path(folder)
    files = planned_pipeline(name, template, parent, with_schema=with_schema, force=force)
    write_pipeline(files)
    for path in files:
        click.echo(f"wrote {path}")
    known = name if parent == HERE else str(parent / name)
    click.echo(f"next: headgate validate {known}")
    return 0


def schema_pipeline() -> int:
    """See `headgate schema pipeline --help`."""
    click.echo(pipeline_schema_text(), nl=False)
    return 0
