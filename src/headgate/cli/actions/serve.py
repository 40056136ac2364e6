"""``headgate serve``: the gateway."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

import click
import uvloop

from headgate.assembly.gateway import callable_models
from headgate.assembly.operations import clear_metrics, metrics_folder
from headgate.assembly.parts import Parts
from headgate.assembly.reloading import checked_parts
from headgate.assembly.serving import Opening, opened, run_gateway, server_limits
from headgate.config import Secret
from headgate.domain.cost import usd_text
from headgate.serving.auth import check_binding, generate_key
from headgate.serving.listening import listen_together
from headgate.serving.pid_file import PidFile, pid_file
from headgate.serving.supervisor import Supervisor
from headgate.transport.settings import bracketed

WORKER = (sys.executable, "-P", "-m", "headgate.cli.actions.worker")
"""One serving process; -P keeps modules out that lie in the working folder."""


def serve(host: str | None, port: int | None, workers: int | None, access_log: bool, no_auth: bool) -> int:
    """See `headgate serve --help`."""
    parts = checked_parts({"gateway_host": host}, Path.cwd())
    number = parts.settings.gateway_port if port is None else port
    made = None if no_auth or parts.settings.key is not None else generate_key(secrets.token_bytes(24))
    key = None if no_auth else parts.settings.key or made
    workers = workers or parts.settings.gateway.workers
    if workers > 1:
        return _supervise(parts, number, workers, key, made, access_log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(parts, number, key, made, access_log))
    return 0


async def _serve(parts: Parts, port: int, key: Secret | None, made: Secret | None, access_log: bool) -> None:
    opening = Opening(host=parts.settings.gateway_host, key=key, access_log=access_log)
    async with opened(parts, opening) as running:
        await run_gateway(parts, running, opening, port, lambda url: _ready(parts, url, key, made), say=_said)


def _said(line: str) -> None:
    click.echo(line, err=True)


def _supervise(parts: Parts, port: int, workers: int, key: Secret | None, made: Secret | None, access_log: bool) -> int:
    """Have `workers` processes serve; the supervisor itself opens no ledger."""
    host, limits = parts.settings.gateway_host, server_limits(parts)
    check_binding(host, authenticated=key is not None)
    sockets = listen_together(host, port, limits.backlog, workers)
    number = sockets[0].getsockname()[1]
    clear_metrics(metrics_folder(parts.settings.data_dir, number))
    with PidFile(pid_file(parts.settings.data_dir, number)) as pid:
        supervisor = Supervisor(
            WORKER,
            sockets,
            {"host": host, "port": number, "key": None if key is None else key.reveal(), "access_log": access_log},
            say=_said,
            ready=lambda: _ready(parts, f"http://{bracketed(host)}:{number}", key, made, workers),
            drain=limits.drain,
            backlog=limits.backlog,
            note=pid.note,
        )
        return supervisor.run()


def _money(parts: Parts) -> str:
    """Which budgets the settings have; others may be in the ledger."""
    budgets = parts.settings.budgets
    shown = ", ".join(f"${usd_text(one.limit_nanos)} per {one.window} for {one.scope}" for one in budgets[:3])
    return (shown + (f" and {len(budgets) - 3} more budgets" if len(budgets) > 3 else "")) or "no budgets in the settings"


def _ready(parts: Parts, url: str, key: Secret | None, made: Secret | None, workers: int = 1) -> None:
    click.echo(f"gateway on {url}" + (f", {workers} processes" if workers > 1 else ""))
    click.echo(f"  OpenAI clients     base_url={url}/v1")
    click.echo(f"  Anthropic clients  base_url={url}")
    click.echo(f"  Google clients     base_url={url}")
    if made is not None:
        click.echo(f"  key                {made.reveal()}   (made for this start, shown once; set HEADGATE_KEY to keep one)")
    elif key is not None:
        click.echo(f"  key                {key} from HEADGATE_KEY")
    else:
        click.echo("  no key is asked for; only this machine can connect")
    providers = sorted({card.provider for card in callable_models(parts)})
    click.echo(f"  providers          {', '.join(providers) or 'none has a key; see headgate doctor'}")
    settings = parts.settings
    names = ", ".join((*settings.routes, *settings.aliases))
    if names:
        click.echo(f"  further names      {names}")
    click.echo(f"  money              {_money(parts)}; headgate budgets, headgate usage")
    if key is not None:
        click.echo("  a key per client   headgate keys create --name NAME --budget USD")
    for warning in parts.key_warnings():
        click.echo(f"warning: {warning}", err=True)
