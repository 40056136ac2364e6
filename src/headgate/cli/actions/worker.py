"""One serving process of ``headgate serve --workers``, started by its supervisor."""

from __future__ import annotations

import asyncio
import signal
import sys

import msgspec
import uvloop

from headgate.assembly.gateway import gateway_app
from headgate.assembly.listeners import listeners
from headgate.assembly.operations import gateway_operations, metrics_folder, process_counters
from headgate.assembly.parts import Parts, load_parts
from headgate.cli import exit_code, report
from headgate.config import Secret
from headgate.errors import HeadgateError
from headgate.observe.scrape import SnapshotFolder
from headgate.serving.inheritance import Inherited, Lifeline
from headgate.serving.server import serve


class WorkerOptions(msgspec.Struct, frozen=True):
    """What `headgate serve` passes on. `key` None: none is asked for."""

    host: str
    port: int
    key: str | None
    access_log: bool = False


def main() -> int:
    """Serve until told to stop, or until the supervisor is gone; the exit code."""
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for those who can reload; its default would end this process
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
    key = None if options.key is None else Secret(options.key)
    folder = SnapshotFolder(metrics_folder(parts.settings.data_dir, options.port), inherited.slot)
    counters, ledger = process_counters(folder), parts.ledger()
    try:
        with listeners(parts.environment.real, counters, access=options.access_log) as told:
            operations = gateway_operations(parts, ledger, counters, *told, folder=folder)
            async with parts.http() as http:
                app = gateway_app(parts, http, ledger, options.host, key, operations)
                publishing = asyncio.create_task(operations.scraper.keep_publishing())
                try:
                    sock = inherited.listening()
                    await serve(app, options.host, options.port, sock=sock, ready=lambda server: lifeline.ready())
                finally:
                    publishing.cancel()
    finally:
        ledger.close()


if __name__ == "__main__":
    sys.exit(main())
