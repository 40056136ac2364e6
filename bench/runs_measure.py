"""What `bench/runs.py` runs and how it looks at it: a pipeline of any length, a process that is watched, and what that took."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from headgate.assembly.status import read_status
from headgate.errors import HeadgateError

HEADGATE = str(Path(sysconfig.get_path("scripts")) / "headgate")
ITEMS = 1000
WORDS = ("river", "stone", "lamp", "quiet", "north", "seven", "copper", "garden", "window", "paper", "tide", "ember", "salt", "orchard")
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 10},
        "why": {"type": "string"},
    },
    "required": ["label", "score", "why"],
    "additionalProperties": False,
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One run: `steps` are "llm" or "expression"; `seconds` is the provider's latency; `kill_at` the share done at which it is killed."""

    name: str
    steps: tuple[str, ...]
    units: int
    mode: str = "realtime"
    seconds: float = 0.0
    concurrency: int = 64
    chunk: int = 1000
    kill_at: float | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a run took. CPU microseconds and bytes are per unit and step, memory MB, times seconds unless they say otherwise.

    `startup_cpu` is what a run of one unit takes; `cpu_us` and `units_per_second` are without it.
    """

    name: str
    units: int
    steps: int
    seconds: float
    startup_cpu: float
    units_per_second: float
    cpu_us: float
    render_us: float
    rss_peak: float
    rss_third: float
    rss_end: float
    disk_bytes: float
    written_bytes: float
    status_ms: float | None
    status_worst_ms: float | None
    resume_seconds: float | None


def make_pipeline(folder: Path, case: Case) -> Path:
    """A pipeline of `case.steps` over items with about a kilobyte of text each."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("templates", "schemas"):
        (folder / name).mkdir(parents=True)
    rand = random.Random(7)
    with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
        for number in range(min(ITEMS, case.units)):
            file.write(json.dumps({"id": f"i{number}", "text": " ".join(rand.choices(WORDS, k=150)), "place": number}) + "\n")
    llm = [f"s{n}" for n, kind in enumerate(case.steps) if kind == "llm"]
    for name in llm:
        text = "Judge this text: {{ text }}\nAnswer with a JSON object with the keys label (good or bad), score (0 to 10) and why."
        (folder / "templates" / f"{name}.jinja2").write_text(text)
        (folder / "schemas" / f"{name}.json").write_text(json.dumps(SCHEMA))
    steps = [
        {"name": f"s{n}", "prompt_template": f"s{n}.jinja2", "params": {"max_tokens": 300}}
        if kind == "llm"
        else {"name": f"s{n}", "scope": "expression", "expressions": {f"v{n}": "place * 2 + 1", f"long{n}": "len(text) > 100"}}
        for n, kind in enumerate(case.steps)
    ]
    config = {
        "pipeline": {"name": "Bench", "steps": steps},
        "api": {"poll_interval_seconds": 1, "max_inflight_batches": 4, "realtime": {"concurrency": case.concurrency}},
        "processing": {
            "strategy": "direct",
            "repeat": max(1, case.units // ITEMS),
            "chunk_size": case.chunk,
            "items": {"source": "items.jsonl", "name_field": "id"},
        },
        "prompts": {"template_dir": "templates", "templates": {name: f"{name}.jinja2" for name in llm}},
        "schemas": {"schema_dir": "schemas", "files": {name: f"{name}.json" for name in llm}},
        "validation": {name: {"required": ["label", "score"], "ranges": {"score": [0, 10]}} for name in llm},
    }
    (folder / "config.yaml").write_text(json.dumps(config, indent=1))
    return folder


@contextmanager
def stub(seconds: float) -> Iterator[str]:
    """The URL of a provider that answers after `seconds`."""
    command = [sys.executable, str(Path(__file__).with_name("runs_stub.py")), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)


def calls(url: str) -> tuple[int, float]:
    """Chat calls and rows the provider had so far, and when the last came."""
    with urllib.request.urlopen(f"{url}/calls", timeout=10) as found:
        told = json.load(found)
    return int(told["calls"]), float(told["last"])


class Watched:
    """A ``headgate run`` under way, looked at from outside a few times a second until it ends."""

    def __init__(self, pipeline: Path, home: Path, case: Case, url: str, seed: str = "1") -> None:
        environment = {**os.environ, "HEADGATE_SIM_URL": url, "HEADGATE_DATA_DIR": str(home.parent / "data")}
        command = [HEADGATE, "run", str(pipeline), "--provider", "sim-openai", "--mode", case.mode, "--run-dir", str(home)]
        command += ["--yes", "--quiet", "--seed", seed]
        self.home = home
        self.began = time.time()
        self.rss: list[int] = []
        self.looks: list[float] = []
        self.written = self.peak = 0
        self.render_ticks = 0
        self.done = 0.0
        self._case = case
        self._over = threading.Event()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._threads = [threading.Thread(target=self._sample, daemon=True), threading.Thread(target=self._look, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _sample(self) -> None:
        """Memory and bytes of the process, and the CPU of the one that renders its templates."""
        own = Path(f"/proc/{self.process.pid}")
        while not self._over.wait(0.1):
            with suppress(OSError, IndexError, ValueError):
                status = (own / "status").read_text()
                self.rss.append(_kilobytes(status, "VmRSS"))
                self.peak = _kilobytes(status, "VmHWM")
                self.written = int((own / "io").read_text().split("\nwrite_bytes: ")[1].split()[0])
                children = (own / "task" / str(self.process.pid) / "children").read_text().split()
                stats = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children]
                self.render_ticks = max(self.render_ticks, sum(int(stat[11]) + int(stat[12]) for stat in stats))

    def _look(self) -> None:
        """Ask for the run's status as another process would."""
        total = self._case.units * len(self._case.steps)
        while not self._over.wait(0.25):
            with suppress(HeadgateError):
                start = time.perf_counter()
                found = read_status(self.home)
                if found.driven:
                    self.looks.append(time.perf_counter() - start)
                self.done = sum(step.valid + step.failed for step in found.steps) / total

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        self._stop()

    def wait(self) -> float:
        """CPU seconds of the process and what it started. Raises `RuntimeError` when it failed."""
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self._stop()
        if status:
            raise RuntimeError(f"the run ended with {status}: {said}")
        return used.ru_utime + used.ru_stime

    def _stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def measure(case: Case, scratch: Path, *, whole: bool = True) -> Taken:
    """Run `case` from nothing to its end; what starting costs is measured and taken off if `whole`."""
    home = scratch / case.name.replace(" ", "-")
    shutil.rmtree(home, ignore_errors=True)
    pipeline = make_pipeline(scratch / "pipeline", case)
    with stub(case.seconds) as url:
        resumed = None
        if case.kill_at is not None:
            resumed = _killed(pipeline, home, case, url)
            shutil.rmtree(home)
        run = Watched(pipeline, home, case, url)
        cpu = run.wait()
        seconds = time.time() - run.began
        startup = _startup(scratch, case, url) if whole else (0.0, 0.0)
    taken = _taken(case, run, (cpu, seconds), startup, resumed)
    shutil.rmtree(home)
    return taken


def _startup(scratch: Path, case: Case, url: str) -> tuple[float, float]:
    """CPU and elapsed seconds of a run of one unit, without the provider's latency."""
    least, home = msgspec.structs.replace(case, units=1), scratch / "least"
    run = Watched(make_pipeline(scratch / "pipeline", least), home, least, url)
    found = (run.wait(), time.time() - run.began - case.seconds * len(case.steps))
    shutil.rmtree(home)
    return found


def _killed(pipeline: Path, home: Path, case: Case, url: str) -> float | None:
    """Kill a run in its middle, begin it again, and tell how long that took to its first call; None when it was over before."""
    first = Watched(pipeline, home, case, url)
    while first.done < (case.kill_at or 0.0) and first.process.poll() is None:
        time.sleep(0.05)
    first.kill()
    before, _ = calls(url)
    second = Watched(pipeline, home, case, url)
    while calls(url)[0] == before and second.process.poll() is None:
        time.sleep(0.02)
    count, at = calls(url)
    second.kill()
    return at - second.began if count > before else None


def _taken(case: Case, run: Watched, whole: tuple[float, float], startup: tuple[float, float], resumed: float | None) -> Taken:
    """`whole` and `startup` are CPU and elapsed seconds."""
    (cpu, seconds), (startup_cpu, startup_seconds) = whole, startup
    count = case.units * len(case.steps)
    kept = sum(path.stat().st_size for path in run.home.rglob("*") if path.is_file() and "outputs" not in path.parts)
    third = len(run.rss) // 3
    looks = sorted(run.looks)
    return Taken(
        name=case.name,
        units=case.units,
        steps=len(case.steps),
        seconds=round(seconds, 1),
        startup_cpu=round(startup_cpu, 2),
        units_per_second=round(count / max(seconds - startup_seconds, 0.01)),
        cpu_us=round(max(cpu - startup_cpu, 0.0) / count * 1e6, 1),
        render_us=round(run.render_ticks / os.sysconf("SC_CLK_TCK") / count * 1e6, 1),
        rss_peak=round(run.peak / 1024, 1),
        rss_third=round(statistics.median(run.rss[third // 2 : third + 1]) / 1024, 1),
        rss_end=round(statistics.median(run.rss[-third - 1 :]) / 1024, 1),
        disk_bytes=round(kept / count, 1),
        written_bytes=round(run.written / count, 1),
        status_ms=round(statistics.median(looks) * 1e3, 1) if looks else None,
        status_worst_ms=round(looks[-1] * 1e3, 1) if looks else None,
        resume_seconds=None if resumed is None else round(resumed, 2),
    )


def _kilobytes(status: str, name: str) -> int:
    return int(status.split(f"{name}:")[1].split()[0])
