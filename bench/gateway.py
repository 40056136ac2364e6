"""What the gateway costs: CPU per request, beside nginx's `proxy_pass` and a direct call in the same run.

    python bench/gateway.py                  four columns: proxy, + keys and limits, + hard budget, + durable receipts
    python bench/gateway.py --only json,paced --rounds 5
    python bench/gateway.py --smoke          quick, for CI

The figure is CPU microseconds per request of the whole gateway session (user and system, all its processes and threads, from /proc), the
median over rounds that visit every gateway in turn with a fresh process. The gateway has one core, upstream and load generator the other.
Columns: *proxy* is one key of the settings and nothing limited; *keys* a virtual key with limits of requests, tokens and concurrency on key
and provider; *budget* a hard budget on key and globally besides; *durable* waits for nothing less, with SQLite's synchronous mode FULL
(without it NORMAL). Receipts are written in every column. Needs a C compiler; without nginx its ratio and the case with a TLS upstream
are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
KEY = "hg-0123456789abcdef0123456789abcdef"
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err warn;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_body_buffer_size 256k; keepalive_requests 1000000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; }} }}
  {tls} }}
"""
NGINX_TLS = """upstream secure {{ server 127.0.0.1:{secure}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{tls_port}; location / {{ proxy_pass https://secure; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_trusted_certificate {folder}/tls.crt; }} }}
"""
TERMINATOR = """worker_processes 1; daemon off; pid {folder}/tls.pid; error_log {folder}/tls.err warn;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/tb; proxy_temp_path {folder}/tp; fastcgi_temp_path {folder}/tf;
  uwsgi_temp_path {folder}/tu; scgi_temp_path {folder}/ts; client_body_buffer_size 256k; keepalive_requests 1000000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{secure} ssl; ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""
"""The upstream behind TLS, on the upstream's core."""
PATH = "/v1/chat/completions"
CARDS = """provider: secure
label: Behind TLS
models:
  - id: gpt-4o-mini
    display_name: The same behind TLS
    capabilities: {context: 128000, max_output: 16384}
    prices: [{since: "2024-07-18", source: "the price of the same without TLS, 2026-11-30", rates: {input: "0.15", output: "0.60"}}]
"""
"""What the model behind TLS costs: without a price, no hard budget lets it pass."""
LIMITS = """limits:
  - {subject: "key:*", rpm: 100000000, tpm: 1000000000, concurrency: 10000}
  - {subject: "provider:openai", rpm: 100000000, tpm: 1000000000, concurrency: 10000}
"""
BUDGETS = """budgets:
  - {scope: "key:*", limit_usd: "1000000", window: day, action: block}
  - {scope: global, limit_usd: "1000000", window: month, action: block}
"""
COLUMNS = {"proxy": "", "keys": LIMITS, "budget": LIMITS + BUDGETS, "durable": LIMITS + BUDGETS + "synchronous: full\n"}
"""Column → what headgate.yaml says besides the address of the provider."""


class Case:
    """One kind of request. `expect` is what each answer must contain; `tls`: the upstream is behind TLS; `own`: nginx cannot do it."""

    def __init__(self, name: str, body: dict[str, object], expect: str, connections: int, *, tls: bool = False, own: bool = False) -> None:
        self.name = name
        self.body = body
        self.expect = expect
        self.connections = connections
        self.tls = tls
        self.own = own


def chat(stream: bool = False, words: int = 12, turns: int = 1, note: str = "", model: str = "gpt-4o-mini") -> dict[str, object]:
    """A request of about 1 kB, or of about 200 kB with 19 long turns."""
    system = "You are a helpful assistant. " + "Answer briefly and cite sources. " * 10
    text = "Please summarise the following text in three bullet points: " + "The quick brown fox jumps over the lazy dog. " * words + note
    roles = ("user", "assistant")
    messages = [{"role": "system", "content": system}] + [{"role": roles[n % 2], "content": text} for n in range(turns)]
    body: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 256}
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})


CASES = (
    Case("json", chat(), '"usage"', 64),
    Case("paced", chat(stream=True, note=" [[stub:20:10]]"), "[DONE]", 64),
    Case("burst", chat(stream=True), "[DONE]", 64),
    Case("large", chat(words=230, turns=19), '"usage"', 16),
    Case("tls", chat(model="secure/gpt-4o-mini"), '"usage"', 64, tls=True),
    Case("renamed", chat(model="openai/gpt-4o-mini"), '"usage"', 64, own=True),
    Case("translated", chat(model="anthropic/claude-haiku-4-5"), '"usage"', 32, own=True),
    Case("translated_sse", chat(stream=True, model="anthropic/claude-haiku-4-5"), "[DONE]", 32, own=True),
)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def cpu_seconds(session: int) -> float:
    """CPU time of every process of a session, those that ended included."""
    total = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            own = int(fields[11]) + int(fields[12])
            total += own + (int(fields[13]) + int(fields[14]) if int(entry) == session else 0)
    return total / TICK


def resident(pid: int) -> float:
    """Resident megabytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def running(
    command: list[str], core: int, log: Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own on one core, ended at the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
    try:
        yield process
    finally:
        for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue


class Bench:
    """The programs and folders of one run."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.upstream, self.secure, self.nginx_tls = free_port(), free_port(), free_port()
        self.tls = shutil.which("nginx") is not None and shutil.which("openssl") is not None
        if self.tls:
            certify(folder)
        for name in ("upstream", "load"):
            subprocess.run(["cc", "-O2", "-o", str(folder / name), str(HERE / "native" / f"{name}.c")], check=True)

    def load(self, port: int, case: Case, headers: list[str], *, requests: int = 0, rate: float = 0.0) -> dict[str, float]:
        """Run the load generator and return what it saw."""
        body = self.folder / f"{case.name}.json"
        body.write_text(json.dumps(case.body))
        command = [str(self.folder / "load"), "-p", str(port), "-u", PATH, "-b", str(body), "-c", str(case.connections)]
        command += ["-d", str(self.seconds), "-t", "15", "-e", case.expect, "-r", str(rate)]
        command += ["-n", str(requests)] if requests else []
        for header in headers:
            command += ["-H", header]
        done = subprocess.run(["taskset", "-c", str(CORES[-1]), *command], capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    def measure(self, process: subprocess.Popen[bytes], port: int, case: Case, headers: list[str]) -> dict[str, float]:
        """CPU microseconds per request, and what the client saw."""
        before = cpu_seconds(process.pid)
        seen = self.load(port, case, headers)
        spent = cpu_seconds(process.pid) - before
        failed = sum(int(seen[name]) for name in ("err_status", "err_body", "err_conn", "err_timeout"))
        if failed or not seen["ok"]:
            raise SystemExit(f"{case.name}: {failed} of {int(seen['ok']) + failed} requests failed: {seen['first_error']}")
        return {"us": spent / seen["ok"] * 1e6, "rps": seen["rps"], "ok": seen["ok"]}

    @contextmanager
    def upstreams(self) -> Iterator[None]:
        """The upstream, and where that can be had the same behind TLS, on the core of the load generator."""
        with running([f"{self.folder}/upstream", str(self.upstream)], CORES[-1], self.folder / "upstream.log"):
            if not self.tls:
                time.sleep(0.2)
                yield
                return
            conf = self.folder / "tls.conf"
            conf.write_text(TERMINATOR.format(folder=self.folder, upstream=self.upstream, secure=self.secure))
            with running(["nginx", "-c", str(conf)], CORES[-1], self.folder / "tls.log"):
                time.sleep(0.5)
                yield

    @contextmanager
    def nginx(self) -> Iterator[tuple[subprocess.Popen[bytes], int, list[str]]]:
        """nginx before the upstream."""
        port = free_port()
        conf = self.folder / "nginx.conf"
        tls = NGINX_TLS.format(folder=self.folder, secure=self.secure, tls_port=self.nginx_tls) if self.tls else ""
        conf.write_text(NGINX.format(folder=self.folder, upstream=self.upstream, port=port, tls=tls))
        with running(["nginx", "-c", str(conf)], CORES[0], self.folder / "nginx.log") as process:
            wait_for(port, [], "/v1/chat/completions")
            yield process, port, []

    @contextmanager
    def headgate(self, column: str) -> Iterator[tuple[subprocess.Popen[bytes], int, list[str]]]:
        """The gateway before the upstream, with the settings of a column."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        port = free_port()
        at = f"http://127.0.0.1:{self.upstream}"
        providers = (
            f"providers:\n  openai: {{base_url: {at}/v1, allow_private: true}}\n  anthropic: {{base_url: {at}, allow_private: true}}\n"
        )
        if self.tls:
            secure = f"https://localhost:{self.secure}/v1"
            providers += f"  secure: {{dialect: openai_chat, base_url: '{secure}', allow_private: true, key_env: OPENAI_API_KEY}}\n"
        (home / "headgate.yaml").write_text(providers + COLUMNS[column])
        env = {
            "HEADGATE_KEY": KEY,
            "HEADGATE_DATA_DIR": str(home / "data"),
            "OPENAI_API_KEY": "sk-upstream-0123456789",
            "ANTHROPIC_API_KEY": "sk-ant-upstream-0123456789",
        }
        if self.tls:
            env["HEADGATE_CA_FILE"] = str(self.folder / "tls.crt")
            env["HEADGATE_CATALOG_FILE"] = str(home / "models.yaml")
            (home / "models.yaml").write_text(CARDS)
        program = [str(Path(sys.executable).with_name("headgate"))]
        key = KEY
        if column != "proxy":
            made = subprocess.run(
                [*program, "keys", "create", "--name", "bench", "--quiet"],
                env={**os.environ, **env},
                cwd=home,
                capture_output=True,
                text=True,
                check=True,
            )
            key = made.stdout.strip()
        with running([*program, "serve", "--port", str(port)], CORES[0], self.folder / "headgate.log", env, home) as process:
            headers = [f"Authorization: Bearer {key}"]
            wait_for(port, headers, "/v1/chat/completions")
            yield process, port, headers


def certify(folder: Path) -> None:
    """A certificate of its own for localhost."""
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", *names, *files]
    subprocess.run(command, check=True, capture_output=True)


def wait_for(port: int, headers: list[str], path: str) -> None:
    """Until a request is answered, at most ten seconds."""
    fields = {"content-type": "application/json", **dict(header.split(": ", 1) for header in headers)}
    end = time.monotonic() + 10
    while True:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(chat()).encode(), fields)
            with urllib.request.urlopen(request, timeout=5) as reply:
                reply.read()
                return
        except urllib.error.HTTPError as error:
            raise SystemExit(f"the gateway refused: {error.read()[:300]!r}") from error
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def table(figures: dict[str, dict[str, float]], reference: str | None) -> None:
    """Rows of gateways, columns of cases: microseconds, and the ratio to nginx."""
    names = [case.name for case in CASES if any(case.name in row for row in figures.values())]
    print(f"{'':12}" + "".join(f"{name:>20}" for name in names))
    for gateway, row in figures.items():
        cells = []
        for name in names:
            if name not in row:
                cells.append("-")
                continue
            base = figures.get(reference or "", {}).get(name)
            cells.append(f"{row[name]:.1f} us" + (f" = {row[name] / base:.2f}x" if base else ""))
        print(f"{gateway:12}" + "".join(f"{cell:>20}" for cell in cells))


def run(bench: Bench, rounds: int, cases: list[Case], gateways: dict[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
    """Medians of every gateway and case."""
    raw: dict[str, dict[str, list[float]]] = {name: {} for name in gateways}
    memory: dict[str, list[float]] = {name: [] for name in gateways}
    for _ in range(rounds):
        for name in random.sample(list(gateways), len(gateways)):
            with gateways[name]() as (process, port, headers):  # type: ignore[attr-defined]
                for case in cases:
                    if (name == "nginx" and case.own) or (case.tls and not bench.tls):
                        continue
                    at = bench.nginx_tls if name == "nginx" and case.tls else port
                    bench.load(at, case, headers, requests=200)
                    raw[name].setdefault(case.name, []).append(bench.measure(process, at, case, headers)["us"])
                memory[name].append(resident(process.pid))
    figures = {name: {case: statistics.median(values) for case, values in row.items()} for name, row in raw.items()}
    for name, values in memory.items():
        figures[name]["rss_mb"] = round(statistics.median(values), 1)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", default="", help="cases, separated by commas")
    parser.add_argument("--columns", default=",".join(COLUMNS))
    options = parser.parse_args()
    if shutil.which("cc") is None or shutil.which("taskset") is None or len(CORES) < 2:
        print("skipped: needs a C compiler, taskset and two cores")
        return
    wanted = [case for case in CASES if not options.only or case.name in options.only.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), 0.5 if options.smoke else options.seconds)
        with bench.upstreams():
            gateways: dict[str, Callable[[], object]] = {"nginx": bench.nginx} if shutil.which("nginx") else {}
            for column in options.columns.split(","):
                gateways[column] = lambda column=column: bench.headgate(column)  # type: ignore[misc]
            figures = run(bench, 1 if options.smoke else options.rounds, wanted, gateways)
    table(figures, "nginx" if "nginx" in figures else None)
    print("resident MB: " + "  ".join(f"{name} {row['rss_mb']}" for name, row in figures.items()))
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    (out / "gateway.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
