"""Commands that only look at runs: ``info``, ``report``, ``compare``, ``analyze``, ``export`` and ``dump``."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.cli.lazy import call

ACTIONS = "headgate.cli.actions.readings"
STATUS = "headgate.cli.actions.status"
OCTOBATCH = "headgate.cli.actions.octobatch"
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with the chunks.")
def info(**options: object) -> int:
    """Show everything about RUN: model, process, times, progress, cost, tokens, steps and open chunks. Reads only."""
    return call(f"{STATUS}:info", options)


@click.command()
@click.argument("run")
@click.option("--failures-by", metavar="FIELD", help="Count failures by a field of the units; dots lead into objects.")
@click.option("--format", "kind", type=click.Choice(["text", "md", "html", "json"]), default="text", show_default=True, help="The form.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--output", type=FILE, help="Write to this file instead of standard output.")
def report(**options: object) -> int:
    """Report on RUN: how many units came through each step, why others did not, cost and tokens. Reads only."""
    return call(f"{ACTIONS}:report", options)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--fields", metavar="A,B,C", help="Compare these fields of the results, unit by unit, with those of the first run.")
@click.option("--step", metavar="STEP", help="Take the results of this step instead of the last one.")
@click.option("--sample", type=click.IntRange(min=0), default=5, show_default=True, help="Show so many units that differ.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("-o", "--output", type=FILE, help="Write a page in Markdown to this file.")
def compare(**options: object) -> int:
    """Compare runs with the first one: pass rates with a test of significance, cost, and with --fields the results. Reads only."""
    return call(f"{ACTIONS}:compare", options)


@click.command()
@click.argument("run")
@click.option("--group-by", required=True, metavar="FIELD", help="A line for each value of this field; dots lead into objects.")
@click.option("--count-field", metavar="FIELD", help="Show the share of each value of this field.")
@click.option("--net-positive", multiple=True, metavar="VALUE", help="A value that adds to the net; may be repeated.")
@click.option("--net-negative", multiple=True, metavar="VALUE", help="A value that takes from the net; may be repeated.")
@click.option("--numeric-field", metavar="FIELD", help="Show mean, median, deviation and bounds of this field.")
@click.option("--custom-stat", multiple=True, metavar="NAME=EXPR", help="A number more, such as 'CV=stdev / mean'; may be repeated.")
@click.option("--step", metavar="STEP", help="Take the results of this step instead of the last one.")
@click.option(
    *("--output-format", "kind"), type=click.Choice(["table", "md", "csv", "json"]), default="table", show_default=True, help="The form."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --output-format json.")
@click.option("-o", "--output", type=FILE, help="Write to this file instead of standard output.")
@click.option("--title", help="What stands above the table.")
def analyze(**options: object) -> int:
    """Count the values of a field of RUN's results, or measure a numeric one, by groups; every share has its interval. Reads only.

    An expression of --custom-stat sees data, count, mean, median, stdev, variance, min_val, max_val and sum_val, and may use sqrt, log
    and exp.
    """
    return call(f"{ACTIONS}:analyze", options)


@click.command()
@click.argument("run")
@click.option(
    "--what", type=click.Choice(["results", "failures", "receipts", "units"]), default="results", show_default=True, help="What to take."
)
@click.option("--step", metavar="STEP", help="Of this step; results are of the last one otherwise, the rest of all.")
@click.option(
    *("--format", "kind"),
    type=click.Choice(["jsonl", "csv", "parquet", "html", "octobatch"]),
    default="jsonl",
    show_default=True,
    help="The form; html is a report with the first rows, octobatch a folder of the whole run.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--excel-safe", is_flag=True, help="Put ' before texts of a CSV that a spreadsheet might execute.")
@click.option("-o", "--output", type=FILE, help="Write to this file instead of standard output.")
def export(**options: object) -> int:
    """Take the results, failures, receipts or units of RUN elsewhere, also while it is driven. Reads only."""
    if options["kind"] == "octobatch":
        return call(f"{OCTOBATCH}:export", options)
    return call(f"{ACTIONS}:export", options)


@click.command()
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def dump(**options: object) -> int:
    """Show all runs, or RUN with its steps, as a screen would: progress, units, cost, tokens, duration. Reads only."""
    return call(f"{STATUS}:dump", options)
