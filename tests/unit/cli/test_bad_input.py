"""Hostile pipelines and providers: refused or bounded, and the run goes on for the other units."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.sim.faults import Garbage, Huge, Match, Rule, Truncate
from headgate.sim.server import Simulator
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]

WALK = """\
    - name: walk
      scope: expression
      init:
        position: "0"
      expressions:
        position: "{expression}"
      loop_until: "position > 3"
      max_iterations: 10
"""


def results(told: Json, kind: str = "results") -> list[Json]:
    """The rows of an output file."""
    return [json.loads(line) for line in Path(told["outputs"][kind]).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    "schema",
    [
        '{"$ref": "http://127.0.0.1:9/schema.json"}',
        '{"type": "object", "properties": {"answer": {"$ref": "https://example.com/a#/x"}}, "required": ["answer"]}',
        '{"type": "object", "properties": {"answer": {"$ref": "file:///etc/passwd"}}, "required": ["answer"]}',
        '{"type": "object", "properties": {"answer": {"$ref": "other.json"}}, "required": ["answer"]}',
    ],
    ids=["root", "https", "file", "relative"],
)
def test_a_schema_that_refers_to_an_address_is_refused(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, schema: str
) -> None:
    write_quiz(headgate_environment, schema=schema)
    done = headgate("run", "Quiz", code=3)
    assert "schemas/ask.json:1:" in done.err
    assert "only references within the file (#/…) are allowed" in done.err
    assert headgate_sim.requests == []
    assert not (headgate_environment / "runs").exists()


def test_a_template_that_loops_for_ever_costs_its_unit_a_second(headgate: Command, headgate_environment: Path) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    endless = "{% if text == 'question 2' %}" + loop + "{% endif %}answer: {{ text }}\n"
    write_quiz(headgate_environment, template=endless)
    start = time.monotonic()
    told = headgate("run", "Quiz", "-r", "one", "--json").json()
    assert time.monotonic() - start < 15
    assert (told["valid"], told["failed"]) == (5, 1)
    (failure,) = results(told, "failures")
    assert failure["unit_id"] == "q2"
    assert failure["errors"][0]["rule"] == "render_error"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }} {{ text }}",
        "{{ self.__init__.__globals__ }} {{ text }}",
        "{% include '/etc/passwd' %}",
        "{{ 'x' * 10 ** 10 }} {{ text }}",
    ],
    ids=["class", "globals", "include", "memory"],
)
def test_a_template_that_reaches_out_gets_nothing(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, template: str
) -> None:
    write_quiz(headgate_environment, template=template, items="questions:\n  - id: a\n    text: b\n")
    done = headgate("run", "Quiz", "-r", "one", "--json")
    assert headgate_sim.requests == []
    if done.code == 1:
        assert done.json()["failed"] == 1
        assert results(done.json(), "failures")[0]["errors"][0]["rule"] == "render_error"
    else:
        assert done.code == 3


@pytest.mark.parametrize(
    "expression",
    [
        "().__class__.__bases__[0].__subclasses__()",
        "position.__class__",
        "getattr(position, 'real')",
        "__import__('os').system('id')",
        "open('/etc/passwd')",
    ],
)
def test_an_expression_that_reaches_out_is_refused_with_its_place(headgate: Command, headgate_environment: Path, expression: str) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("    - name: ask\n", WALK.format(expression=expression) + "    - name: ask\n"))
    done = headgate("run", "Quiz", code=3)
    assert re.search(r"config\.yaml:\d+:\d+: expression 'position': .* \(column 1 of ", done.err)
    assert not (headgate_environment / "runs").exists()


def test_an_expression_that_grows_without_end_fails_its_units(headgate: Command, headgate_environment: Path) -> None:
    grown = CONFIG.replace("    - name: ask\n", WALK.format(expression="position + 9 ** 9 ** 9") + "    - name: ask\n")
    write_quiz(headgate_environment, config=grown, items="questions:\n  - id: a\n    text: b\n")
    start = time.monotonic()
    done = headgate("run", "Quiz", "-r", "one", "--json")
    assert time.monotonic() - start < 15
    assert done.code == 3 or done.json()["failed"] == 1


@pytest.mark.parametrize("action", [Huge(bytes=1 << 30), Garbage(), Truncate(bytes=30)], ids=["huge", "html", "truncated"])
def test_an_answer_nobody_can_use_costs_only_its_own_try(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, action: Huge | Garbage | Truncate
) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(action, Match(operation="chat", nth=2)),))
    told = headgate("run", "Quiz", "-r", "one", "--json", "--concurrency", "1").json()
    assert told["valid"] + told["failed"] == 6
    assert told["valid"] >= 5
    assert sorted(row["answer"] for row in results(told))[:2] in (
        ["question 0", "question 1"],
        ["question 0", "question 2"],
        ["question 1", "question 2"],
    )


MEASURED = """
import json, pathlib, re, resource, sys
from headgate.cli import main
code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status")
if status.exists():
    most = int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1]) << 10
else:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([code, most]))
"""
"""A command, and the most memory it held. Linux counts in ``ru_maxrss`` what the process held that started it."""


def test_an_answer_of_a_gigabyte_is_never_held(headgate_environment: Path, headgate_sim: Simulator) -> None:
    """All units but one are answered with a gigabyte each; no more of each is held than the cap of 64 MiB.

    All five at once at worst, each twice while its pieces are joined, beside the 100 MiB of a program without them.
    """
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Huge(bytes=1 << 30), Match(operation="chat", first=5)),))
    command = [sys.executable, "-c", MEASURED, "run", "Quiz", "-r", "one", "-q", "--json", "--concurrency", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=headgate_environment)
    told, measured = map(json.loads, done.stdout.splitlines())
    assert told["valid"] + told["failed"] == 6, done.stderr
    assert told["valid"] >= 1
    code, most = measured
    assert code in (0, 1)
    assert most < (2 * 5 * 64 + 100) << 20, f"{most >> 20} MiB"
