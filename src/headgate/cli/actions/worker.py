"""One serving process of ``headgate serve --workers``, started by its supervisor."""

from __future__ import annotations

import asyncio
import signal
import sys

import msgspec
import uvloop

from headgate.assembly.operations import metrics_folder
from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.serving import Opening, opened, run_gateway
from headgate.cli import exit_code, report
from headgate.config import Secret
from headgate.errors import HeadgateError
from headgate.observe.scrape import SnapshotFolder
from headgate.serving.inheritance import Inherited, Lifeline


class WorkerOptions(msgspec.Struct, frozen=True):
    """What `headgate serve` passes on. `key` None: none is asked for."""

    host: str
    port: int
    key: str | None
    access_log: bool = False


def main() -> int:
    """Serve until told to stop, or until the supervisor is gone; the exit code."""
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are settings that could be read anew
        lifeline = Lifeline()
        inherited = lifeline.read()
        lifeline.watch()
        options = msgspec.convert(inherited.options, WorkerOptions)
        parts = load_parts({"gateway_host": options.host})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(parts, inherited, options, lifeline))
    except HeadgateError as error:
        report(error)
        return exit_code(error)
    return 0


async def _serve(parts: Parts, inherited: Inherited, options: WorkerOptions, lifeline: Lifeline) -> None:
    folder = SnapshotFolder(metrics_folder(parts.settings.data_dir, options.port), inherited.slot)
    key = None if options.key is None else Secret(options.key)
    opening = Opening(host=options.host, key=key, access_log=options.access_log, folder=folder, workers=inherited.workers)
    async with opened(parts, opening) as running:
        running.readings.tell(lifeline.read_settings)
        publishing = asyncio.create_task(running.operations.scraper.keep_publishing())
        try:
            sock = inherited.listening()
            await run_gateway(parts, running, opening, options.port, lambda url: lifeline.ready(), say=_said, sock=sock)
        finally:
            publishing.cancel()


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
