"""Runs an official client's own test suite, out of its source distribution, against a gateway over the simulator.

::

    pip download --no-deps --no-binary openai openai==3.52.0
    python tools/sdk_suite.py --sdist openai-3.52.0.tar.gz [--amend] [--model sim-gemini/sim-small] [--python PATH]

The suites (``openai``, ``anthropic``) were made for a mock server that answers whatever an OpenAPI document allows. So each model they
name is taken for `--model`, and `--amend` also replaces placeholders that any real server refuses. The counts are printed as JSON; the
exit code is 1 when a test fails for another reason than that an endpoint is not served or that a request is refused. Nothing of the
distribution is kept. Without `--python` an environment for the suite is made first, which takes a while.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from headgate.serving.app import App
from headgate.serving.auth import OpenDoor
from headgate.serving.request import BodyReader, Request
from headgate.serving.response import Answer
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import running_gateway, with_completions
from headgate.wire.json import JsonObject

RESOURCES = "tests/api_resources/"
REQUIREMENTS = ("pytest", "pytest-asyncio", "respx", "httpx2", "httpx-aiohttp", "inline-snapshot", "http-snapshot[httpx]")
MODELS = "/v1/models/"
STATUS = re.compile(r"Error code: (\d{3})")
NOT_SERVED = {"404", "405", "501"}
USER: JsonObject = {"role": "user", "content": "Hello."}


class Client(msgspec.Struct, frozen=True):
    """Where a client's tests are, the path of its base URL, and what its pytest is told besides."""

    suites: tuple[str, ...]
    base: str = ""
    options: tuple[str, ...] = ()


CLIENTS = {
    "openai": Client(
        (
            "chat",
            "responses",
            "test_responses.py",
            "test_completions.py",
            "test_embeddings.py",
            "test_models.py",
            "test_files.py",
            "test_batches.py",
        ),
        base="/v1",
    ),
    "anthropic": Client(
        ("messages", "test_messages.py", "test_models.py", "beta/test_messages.py", "beta/test_models.py"),
        options=("-p", "tests._alias_httpx"),
    ),
}


class AmendedBody:
    """A request's body on its way through `change`."""

    def __init__(self, inner: BodyReader, change: Callable[[JsonObject], JsonObject]) -> None:
        self._inner = inner
        self._change = change

    async def read(self, limit: int) -> bytes:
        """The changed bytes; what is no JSON object stays as it is."""
        data = await self._inner.read(limit)
        try:
            fields = msgspec.json.decode(data, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return data
        return msgspec.json.encode(self._change(fields))


class Lenient(App):
    """A gateway that takes any model's name for `model`; with `amend`, placeholders become what a real server takes."""

    def __init__(self, inner: App, model: str, amend: bool) -> None:
        super().__init__(inner.routes, door=OpenDoor(None), hosts=None, on_stop=inner.stop)
        self._inner = inner
        self._model = model
        self._amend = amend

    async def __call__(self, request: Request) -> Answer:
        """Serve the changed request."""
        path = MODELS + self._model if request.path.startswith(MODELS) else request.path
        reader = AmendedBody(request.reader, lambda fields: self._changed(fields, path))
        return await self._inner(msgspec.structs.replace(request, path=path, reader=reader))

    def _changed(self, fields: JsonObject, path: str) -> JsonObject:
        if "model" in fields or self._amend:
            fields = {**fields, "model": self._model}
        return amended(fields, path) if self._amend else fields


def amended(fields: JsonObject, path: str) -> JsonObject:
    """A request without limits of zero, references to what does not exist, or a talk nobody begins.

    Embeddings are asked as numbers: in strict mode the client takes the base64 it asks for by itself for a mistake.
    """
    found = {name: value for name, value in fields.items() if name not in ("previous_response_id", "conversation", "prompt")}
    if path.endswith("/v1/completions"):
        found["prompt"] = fields.get("prompt")
    if path.endswith("/v1/responses"):
        found.setdefault("input", USER["content"])
    if path.endswith("/embeddings"):
        found["encoding_format"] = "float"
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        found |= {name: 16} if found.get(name) == 0 else {}
    said = found.get("messages")
    if isinstance(said, list) and all(isinstance(one, dict) and one.get("role") != "user" for one in said):
        found["messages"] = [*said, USER]
    return found


def unpacked(sdist: Path, folder: Path) -> Path:
    """The distribution's own folder, unpacked below `folder`."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if (path / "tests").is_dir())


def made_python(sdist: Path, folder: Path) -> str:
    """The interpreter of a new environment with the distribution and what its tests need."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-qq", str(sdist), *REQUIREMENTS], check=True)
    return python


def run_suites(client: Client, package: Path, python: str, url: str, report: Path) -> None:
    """Run the suites in `package` against `url`; `report` is JUnit's XML."""
    quiet = ("-q", "--tb=line", "-p", "no:logging", "-p", "no:cacheprovider")
    options = (*quiet, "-o", "addopts=", *client.options, f"--junitxml={report}")
    command = [python, "-m", "pytest", *(RESOURCES + suite for suite in client.suites), *options]
    environment = {"TEST_API_BASE_URL": url + client.base, "PYTHONPATH": f"{package / 'src'}:{package}", "PATH": ""}
    done = subprocess.run(command, cwd=package, env=environment, check=False, capture_output=True, text=True)
    if not report.exists():
        raise SystemExit(f"error: the suite did not run\n{done.stdout}{done.stderr}")


def outcomes(report: Path) -> Iterator[tuple[str, str, str]]:
    """Suite, outcome and reason of every test."""
    for case in ElementTree.parse(report).iter("testcase"):
        suite = ".".join(case.get("classname", "").removeprefix("tests.api_resources.").split(".")[:-1])
        bad = next((child for child in case if child.tag in ("failure", "error")), None)
        if bad is not None:
            reason = " ".join(bad.get("message", "").split())[:200]
            yield suite, kind_of(reason), reason
        else:
            yield suite, "skipped" if case.find("skipped") is not None else "passed", ""


def kind_of(reason: str) -> str:
    """What a failure is, by the HTTP status it tells of."""
    status = STATUS.search(reason)
    if status is None:
        return "failed"
    return "not served" if status[1] in NOT_SERVED else "refused" if status[1].startswith("4") else "failed"


def counted(report: Path) -> JsonObject:
    """Counts for each suite and for all, and how often each reason was given."""
    suites: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    for suite, kind, reason in outcomes(report):
        suites.setdefault(suite, Counter())[kind] += 1
        reasons.update([f"{kind}: {reason}"] if reason else [])
    total = sum(suites.values(), Counter())
    return {"total": dict(total), "suites": {name: dict(found) for name, found in sorted(suites.items())}, "reasons": dict(reasons)}


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sdist", type=Path, required=True, help="a source distribution of openai or anthropic")
    parser.add_argument("--model", default="sim-openai/sim-small", help="who answers")
    parser.add_argument("--amend", action="store_true", help="replace placeholders that any real server refuses")
    parser.add_argument("--python", help="an interpreter that has what the suite needs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = unpacked(asked.sdist, folder / "sdist")
        python = asked.python or made_python(asked.sdist.resolve(), folder / "venv")
        report = folder / "report.xml"

        def around(app: App) -> App:
            return Lenient(app, asked.model, asked.amend)

        with running_gateway(folder, settings=SimSettings(seed=7), key=None, change=with_completions, around=around) as rig:
            run_suites(CLIENTS[package.name.partition("-")[0]], package, python, rig.url, report)
        found = {"client": package.name, "answered by": asked.model, "amended": asked.amend, **counted(report)}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    return 1 if "failed" in found["total"] else 0


if __name__ == "__main__":
    sys.exit(main())
