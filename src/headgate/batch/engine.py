"""The durable engine behind a run: one workflow per chunk, each a fixed sequence of phases. The only module that knows DBOS.

What it promises: a stage that returned is not run again; one that was under way when the process died is run again from its first phase;
a workflow enqueued twice under one id runs once. What it asks of phases: to be safe to repeat, to return outcomes as values, and to raise
for bugs only, because an exception leaving a phase ends the workflow for good. Every stage costs a write of the engine's own, so that
phases which end soon after one another share one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from headgate.batch.states import Verdict
from headgate.errors import StoreError

ENGINE_VERSION = "headgate-2"
"""Bumped when `STAGES` or the workflow's step sequence changes: runs of an older version are planned again from the tables."""

STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "expression": (("work", "advance"),),
    "realtime": (("work", "advance"),),
    "batch": (("build", "submit"), ("wait",), ("collect", "advance")),
}
"""What each lane's workflow goes through, in order: stages of one phase or more."""
PHASES: dict[str, frozenset[str]] = {lane: frozenset(name for stage in stages for name in stage) for lane, stages in STAGES.items()}
"""The phases of each lane."""

WORKFLOW = "headgate.chunk"
NAME = "headgate"


class PhaseRunner(Protocol):
    """What the engine calls: the phases of chunks, and the place where paused workflows wait for the end of the process."""

    async def phase(self, name: str, chunk: int) -> Verdict:
        """Run one phase of one chunk."""
        ...

    async def parked(self) -> None:
        """Return only if the run is not pausing."""
        ...


class QueueSettings(msgspec.Struct, frozen=True):
    """How many chunks of each lane run at once in this process, and how often queues are looked at (seconds)."""

    expression: int = 2
    realtime: int = 4
    batch: int = 10
    poll: float = 0.1


class Engine:
    """Workflows of one engine home. One per process: the library keeps its registry globally."""

    def __init__(self, home: Path, home_id: str, runner: PhaseRunner, queues: QueueSettings) -> None:
        self._home = home
        self._home_id = home_id
        self._runner = runner
        self._queues = queues
        self._database: SqlEngine | None = None
        self._workflow: Callable[[int, str], Coroutine[object, object, str]] | None = None

    async def start(self) -> None:
        """Launch; workflows that a kill left are taken up again by the launch itself. The caller holds the home's lock.

        Raises `StoreError`, as every method does, when the engine's database cannot be used.
        """
        quiet_log()
        self._database = wal_engine(self._home / "engine.sqlite")
        config: DBOSConfig = {
            "name": NAME,
            "system_database_engine": self._database,
            "system_database_url": f"sqlite:///{self._home / 'engine.sqlite'}",
            "application_version": ENGINE_VERSION,
            "executor_id": self._home_id,
            "run_migrations": True,
            "console_log_level": "ERROR",
            "notification_listener_polling_interval_sec": 0.2,
            "max_executor_threads": 32,
        }
        with self._told():
            with ThreadPoolExecutor(1) as pool:  # not the loop's own: the library replaces that one, and closes it when it ends
                await asyncio.get_running_loop().run_in_executor(pool, self._prepare, self._database)
            DBOS(config=config)
            self._register()
            DBOS.launch()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Faults of the engine's database file as `StoreError`."""
        try:
            yield
        except DBAPIError as error:
            message = f"cannot use {self._home / 'engine.sqlite'}: {error.orig}"
            raise StoreError(message, hint="free some disk space, then run the same command again") from error

    def _prepare(self, database: SqlEngine) -> None:
        """Make the queues before the launch: a queue that is made later is noticed by its worker only at its next look, a second later."""
        DBOS.migrate(str(database.url))
        client = DBOSClient(system_database_engine=database, application_name=NAME)
        try:
            for lane in PHASES:
                limit: int = getattr(self._queues, lane)
                client.register_queue(_queue_name(lane), worker_concurrency=limit, polling_interval_sec=self._queues.poll)
        finally:
            client.destroy()

    def _register(self) -> None:
        runner = self._runner

        @DBOS.step(name="headgate.stage")
        async def run_stage(lane: str, number: int, chunk: int) -> str:
            for name in STAGES[lane][number]:
                verdict = await runner.phase(name, chunk)
                if verdict is not Verdict.NEXT:
                    break
            return verdict.value

        @DBOS.workflow(name=WORKFLOW)
        async def chunk_workflow(chunk: int, lane: str) -> str:
            for number in range(len(STAGES[lane])):
                verdict = Verdict.AGAIN
                while verdict in (Verdict.AGAIN, Verdict.PAUSED):
                    verdict = Verdict(await run_stage(lane, number, chunk))
                    if verdict is Verdict.PAUSED:
                        await runner.parked()
                if verdict is Verdict.END:
                    break
            return "done"

        self._workflow = chunk_workflow

    async def enqueue(self, workflow_id: str, lane: str, chunk: int) -> None:
        """Start the workflow of a chunk; a second call with the same id changes nothing."""
        assert self._workflow is not None
        with self._told(), SetWorkflowID(workflow_id):
            await DBOS.enqueue_workflow_async(_queue_name(lane), self._workflow, chunk, lane)

    async def status(self, workflow_id: str) -> str | None:
        """The workflow's state word (ENQUEUED, PENDING, SUCCESS, ERROR, CANCELLED …), or None if it was never enqueued."""
        with self._told():
            found = await DBOS.get_workflow_status_async(workflow_id)
        return None if found is None else str(found.status)

    async def failures(self) -> list[tuple[str, str]]:
        """Workflows that ended in an error, with the error: always a bug."""
        with self._told():
            found = await DBOS.list_workflows_async(status="ERROR", name=WORKFLOW)
        return [(status.workflow_id, repr(status.error)) for status in found]

    async def cancel(self, workflow_id: str) -> None:
        """Give a workflow up; the tables say what is left to do."""
        with self._told():
            await DBOS.cancel_workflow_async(workflow_id)

    async def stop(self) -> None:
        """End without finishing: workflows still under way stay pending and are taken up by the next start."""
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())  # the library has closed the loop's own
        if self._database is not None:
            self._database.dispose()


class _Brief(logging.Formatter):
    """An exception in one line: where it was raised inside of the library helps nobody who reads it."""

    def formatException(self, ei: logging._SysExcInfoType) -> str:
        error = ei[1]
        return f"{type(error).__name__}: {error}".partition("\n")[0]


def quiet_log() -> None:
    """Errors of the library only, and to today's standard error: its own handler keeps the stream it was made with, closed or not."""
    logger = logging.getLogger("dbos")
    handler = logging.StreamHandler()
    handler.setFormatter(_Brief())
    handler.setLevel(logging.ERROR)
    logger.handlers.clear()
    logger.addHandler(handler)


def wal_engine(path: Path) -> SqlEngine:
    """An SQLite engine in WAL mode: an order of magnitude faster here than the default."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30.0})

    def pragmas(connection: object, _: ConnectionPoolEntry) -> None:
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA busy_timeout=30000"):
            connection.execute(statement)  # type: ignore[attr-defined]

    event.listen(engine, "connect", pragmas)
    return engine


def _queue_name(lane: str) -> str:
    return f"headgate-{lane}"
