"""The ``headgate`` command. Commands are looked up in a table and imported only when they are used."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module

import click

from headgate import __version__
from headgate.domain.printable import sanitize as sanitize
from headgate.errors import BudgetExceeded, ConfigError, HeadgateError, ProviderError, RunError, UsageError, WireError

COMMANDS: dict[str, str] = {
    "analyze": "headgate.cli.readings:analyze",
    "archive": "headgate.cli.filing:archive",
    "ask": "headgate.cli.ask:ask",
    "budgets": "headgate.cli.budgets:budgets",
    "capabilities": "headgate.cli.capabilities:capabilities",
    "compare": "headgate.cli.readings:compare",
    "config": "headgate.cli.config:config",
    "delete": "headgate.cli.filing:delete",
    "demo": "headgate.cli.demo:demo",
    "doctor": "headgate.cli.doctor:doctor",
    "dump": "headgate.cli.readings:dump",
    "embed": "headgate.cli.embed:embed",
    "export": "headgate.cli.readings:export",
    "import": "headgate.cli.imports:imports",
    "info": "headgate.cli.readings:info",
    "keys": "headgate.cli.keys:keys",
    "kill": "headgate.cli.steering:kill",
    "ls": "headgate.cli.runs:ls",
    "models": "headgate.cli.models:models",
    "new": "headgate.cli.new:new",
    "pause": "headgate.cli.steering:pause",
    "provider": "headgate.cli.provider:provider",
    "receipt": "headgate.cli.receipts:receipt",
    "receipts": "headgate.cli.receipts:receipts",
    "reload": "headgate.cli.config:reload",
    "rename": "headgate.cli.filing:rename",
    "repair": "headgate.cli.mending:repair",
    "report": "headgate.cli.readings:report",
    "restart": "headgate.cli.steering:restart",
    "resume": "headgate.cli.steering:resume",
    "retry": "headgate.cli.mending:retry",
    "revalidate": "headgate.cli.mending:revalidate",
    "route": "headgate.cli.route:route",
    "run": "headgate.cli.runs:run",
    "schema": "headgate.cli.new:schema",
    "serve": "headgate.cli.serve:serve",
    "sim": "headgate.cli.sim:sim",
    "status": "headgate.cli.runs:status",
    "switch": "headgate.cli.runs:switch",
    "tokens": "headgate.cli.tokens:tokens",
    "unarchive": "headgate.cli.filing:unarchive",
    "usage": "headgate.cli.receipts:usage",
    "validate": "headgate.cli.runs:validate",
    "verify": "headgate.cli.mending:verify",
    "watch": "headgate.cli.steering:watch",
    "why": "headgate.cli.receipts:why",
}

SUMMARIES: dict[str, str] = {
    "analyze": "Count or measure a field of a run's results by groups.",
    "archive": "Put a run away.",
    "ask": "Ask a model one question.",
    "budgets": "Show and change what may be spent.",
    "capabilities": "Show what each provider gets of a request.",
    "compare": "Compare runs: what came through, the cost, the results.",
    "config": "Show, check and begin the settings file.",
    "delete": "Delete a run.",
    "demo": "Run the demo pipeline offline, realtime and as a batch.",
    "doctor": "Check keys, data, folders and ports.",
    "dump": "Show all runs, or one, as a screen would.",
    "embed": "Turn texts into vectors.",
    "export": "Take a run's results, failures, receipts or units elsewhere.",
    "import": "Take over another system's settings, or a run of Octobatch.",
    "info": "Show everything about a run on a page.",
    "keys": "Make, limit, rotate and revoke the keys of clients.",
    "kill": "End the process that drives a run.",
    "ls": "List the runs.",
    "models": "List models and prices.",
    "new": "Begin a pipeline of your own.",
    "pause": "Pause a run that another process drives.",
    "provider": "List providers, try one, or begin a new one.",
    "receipt": "Show what a request cost, line by line.",
    "receipts": "List, export, prove and prune receipts.",
    "reload": "Let the running gateway read its settings anew.",
    "rename": "Give a run another name.",
    "repair": "Mend what verify finds wrong with a run.",
    "report": "Report on a run: funnel, failures, cost.",
    "restart": "End the process that drives a run, and go on with it.",
    "resume": "Go on with a run.",
    "retry": "Give failed units of a run new tries.",
    "revalidate": "Judge stored answers of failed units again.",
    "route": "Explain where requests go, or try another policy.",
    "run": "Run a pipeline, or go on with a run.",
    "schema": "Print the schema of a file, for editors.",
    "serve": "Start the gateway.",
    "sim": "Start the provider simulator.",
    "status": "Show how a run stands.",
    "switch": "Let a run go on in another mode.",
    "tokens": "Count the tokens of a question.",
    "unarchive": "Take a run back from the archive.",
    "usage": "Show what was used and what it cost.",
    "validate": "Check a pipeline before it is run.",
    "verify": "Check that nothing of a run is missing.",
    "watch": "Show the progress of a run another process drives.",
    "why": "Tell what happened to a request.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use; help is printed from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a mistyped name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = closest(args[0], list(COMMANDS)) if args else None
            if close is None:
                raise
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {close!r}?", ctx) from error


def closest(word: str, words: list[str]) -> str | None:
    """The most similar of `words`, if one is close."""
    return next(iter(get_close_matches(word, words, 1)), None)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="headgate")
def cli() -> None:
    """Every LLM call through one gate: realtime or batch, any provider, with a receipt for every token."""


EXIT_CODES: tuple[tuple[type[HeadgateError], int], ...] = (
    (BudgetExceeded, 6),
    (ConfigError, 3),
    (UsageError, 2),
    (HeadgateError, 1),
)
"""Exit codes by error class, the most specific first. `RunError` carries its own; a provider that refuses the key gives 4, others 5."""


def exit_code(error: HeadgateError) -> int:
    """The exit code for an error that reached the top."""
    if isinstance(error, RunError):
        return error.exit_code
    if isinstance(error, ProviderError):
        return 4 if error.kind in ("auth", "permission") else 5
    if isinstance(error, WireError) and error.fault == "remote":
        return 5
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def report(error: HeadgateError) -> None:
    """Print an error: what, why, and what to do."""
    click.echo(f"error: {sanitize(error.message)}", err=True)
    cause = error.__cause__
    why = "" if cause is None else (cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause))
    if why and why not in error.message:
        click.echo(f"  because: {sanitize(why)}", err=True)
    if error.hint:
        click.echo(f"hint: {sanitize(error.hint)}", err=True)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script. SIGPIPE stays ignored: sockets that the other side closed must not end the process."""
    try:
        result = cli.main(args=argv, prog_name="headgate", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except HeadgateError as error:
        report(error)
        code = exit_code(error)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    flush()
    if argv is None:
        sys.exit(code)
    return code


def flush() -> None:
    """Write out what was printed; a reader that left (``headgate models | head``) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
