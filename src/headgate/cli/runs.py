"""``headgate run``, ``status``, ``ls`` and ``validate``."""

from __future__ import annotations

import click

from headgate.cli.lazy import call
from headgate.cli.params import Dollars, Duration


@click.command()
@click.argument("pipeline")
@click.option("-p", "--provider", help="Use this provider for every step.")
@click.option("-m", "--model", help="Use this model for every step; provider/model works too.")
@click.option("--mode", type=click.Choice(["batch", "realtime"]), help="How calls are made: realtime, or as the run has begun.")
@click.option("--deadline", type=Duration(), help="Be done in this time (6h): batches while they can end in it, realtime calls then.")
@click.option("--max-units", "--limit", type=click.IntRange(min=1), help="Run at most so many units.")
@click.option("--items", metavar="FILE", help="Take the items from this file in place of the pipeline's own.")
@click.option("--cache/--no-cache", default=None, help="Take answers of earlier runs to the same requests in place of calls.")
@click.option("--units-file", metavar="FILE", help="Run only the units whose ids this file lists, one a line.")
@click.option("-r", "--run-dir", "run", metavar="RUN", help="The run's folder or name; an existing run is gone on with.")
@click.option("--max-cost", type=Dollars(), help="Stop before more than this is spent.")
@click.option("--seed", help="Seed of the run's random streams.")
@click.option("--concurrency", type=click.IntRange(1, 4096), help="Calls in flight at once, per provider, account and model.")
@click.option("--timeout", type=Duration(), help="Pause after this long (30m, 2h, 1h30m), with exit code 3.")
@click.option("--account", metavar="NAME", help="Which of the provider's accounts in headgate.yaml to use.")
@click.option("--api-key", help="The provider's key, for once; others on this machine may see it: prefer the environment or .env.")
@click.option("--allow-scripts", is_flag=True, help="Let the pipeline run programs of its own at the end.")
@click.option("--plan", is_flag=True, help="Estimate units, calls, tokens, money and time, and run nothing. Needs no key.")
@click.option("--fan-out", type=click.FloatRange(0, 1_000_000), metavar="N", help="What one unit becomes at a fan-out, for the estimate.")
@click.option("--confirm-over", type=Dollars(), help="Ask before a run that may cost more.  [default: 1.00, or confirm_over]")
@click.option("--no-preflight", is_flag=True, help="Begin without trying the first prompts, the disk and the key.")
@click.option("--grace", type=click.FloatRange(min=0), hidden=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(**options: object) -> int:
    """Run PIPELINE (a name or a folder), or go on with a run.

    A new run is estimated first, and what would keep every unit from coming through is told before anything is paid.

    Exit codes: 0 complete, 1 failed, 2 cost limit, 3 timeout, 130 interrupted (run the same command with --run-dir to go on).
    """
    return call("headgate.cli.actions.runs:run", options)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(**options: object) -> int:
    """Show how RUN (a folder, a name, or the beginning of one) stands. Reads only; the run is not disturbed."""
    return call("headgate.cli.actions.status:status", options)


@click.command()
@click.argument("run")
@click.argument("mode", type=click.Choice(["batch", "realtime"]))
def switch(**options: object) -> int:
    """Let RUN go on in another MODE, also while a process drives it. Batches that are under way are waited for."""
    return call("headgate.cli.actions.runs:switch", options)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def ls(**options: object) -> int:
    """List the runs in the run folder: those a process drives first, then the newest. Reads only."""
    return call("headgate.cli.actions.status:ls", options)


@click.command()
@click.argument("pipeline")
@click.option("--items", metavar="FILE", help="Check it with the items in this file in place of its own.")
@click.option("--units", type=click.IntRange(0, 10_000), default=10, show_default=True, help="Try the first so many units.")
@click.option("--show-prompt", is_flag=True, help="Print the first prompt.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def validate(**options: object) -> int:
    """Check PIPELINE (a name or a folder) without a call or a key: its configuration, links, schemas, rules and names.

    The first units are tried as far as the prompts of the first step that asks a model. Exit codes: 0 valid, 3 not.
    """
    return call("headgate.cli.actions.runs:validate", options)
