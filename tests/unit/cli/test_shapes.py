"""Pipelines in which units become more, fewer or others, go back, pass steps by, or are done with together: run whole, in both modes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.batch.books import check_books
from headgate.batch.tables import Tables
from headgate.sim.faults import Match, Twist
from headgate.sim.faults import Rule as SimRule
from headgate.sim.server import Simulator
from headgate.store import Database
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
MODES = pytest.mark.parametrize("mode", ["realtime", "batch"])
CONFIG = """\
pipeline:
  name: Quiz
  steps:
{steps}
api: {{provider: sim-openai}}
processing: {{strategy: direct, chunk_size: 3, items: {{source: items.yaml, key: questions}}}}
prompts: {{templates: {{ask: ask.jinja2}}}}
schemas: {{files: {{ask: ask.json}}}}
validation:
  ask:
    required: [answer]
{rules}
"""
LISTS = """\
questions:
  - {id: a, topic: x, parts: [one, two, three, four]}
  - {id: b, topic: y, parts: []}
  - {id: c, topic: x, parts: [five]}
  - {id: d, topic: y, parts: nothing}
"""


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


@pytest.fixture
def shaped(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> Callable[..., tuple[Json, list[Json]]]:
    """Run a pipeline of these steps; its books must balance, and its bill be paid. Returns what was told and the results."""

    def run(
        steps: str, mode: str, *, items: str = LISTS, rules: str = "", template: str = "answer: {{ part }}\n", more: str = "", code: int = 0
    ):
        indented = "".join(f"    {line}\n" for line in steps.strip().splitlines())
        config = CONFIG.format(steps=indented.rstrip(), rules=rules) + more
        write_quiz(headgate_environment, config=config, items=items, template=template)
        done = headgate("run", "Quiz", "-r", "one", "--mode", mode, "--json", code=code)
        told = done.json()
        folder = headgate_environment / "runs" / "one"
        with Database.open(folder / "run.sqlite", migrations="run", read_only=True) as database:
            assert check_books(Tables(database, folder), 1) == []
        assert told["cost_nanos"] == headgate_sim.bill.total
        told["err"] = done.err
        return told, rows(told["outputs"]["results"]) if told["outputs"] else []

    return run


def rows(path: str | Path) -> list[Json]:
    """A JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@MODES
def test_one_unit_for_each_element(shaped, mode: str) -> None:
    """OCT-140, OCT-141: ids, index, parent; the list stays behind; parents without children are told."""
    told, found = shaped("- {name: split, scope: fan_out, field: parts, child_field: part}\n- {name: ask}", mode)
    assert (told["state"], told["valid"], told["failed"]) == ("complete", 5, 0)
    assert {row["unit_id"]: (row["answer"], row["_fan_index"], row["_fan_parent_id"]) for row in found} == {
        "a__fan000": ("one", 0, "a"),
        "a__fan001": ("two", 1, "a"),
        "a__fan002": ("three", 2, "a"),
        "a__fan003": ("four", 3, "a"),
        "c__fan000": ("five", 0, "c"),
    }
    assert not any("parts" in row for row in found)
    assert "units that became none at split, for want of a list or because it was empty: 2" in told["err"]


def test_a_fan_out_at_the_end_leaves_its_children(shaped) -> None:
    steps = "- {name: ask}\n- {name: split, scope: fan_out, field: parts, keep_field: true}"
    _, found = shaped(steps, "realtime", template="answer: {{ topic }}\n")
    assert [(row["unit_id"], row["parts"], row["answer"]) for row in found][:2] == [("a__fan000", "one", "x"), ("a__fan001", "two", "x")]
    assert len(found) == 5


@MODES
def test_children_are_brought_together_again(shaped, mode: str) -> None:
    """The parent comes back with a list of what its children became; siblings that failed are not in it."""
    steps = """
- {name: split, scope: fan_out, field: parts, child_field: part}
- {name: ask, max_attempts: 1}
- {name: back, scope: fan_in, field: answers, collect: [part, answer]}
"""
    rules = "    rules: [{name: no_threes, expr: \"answer != 'three'\"}]"
    told, found = shaped(steps, mode, rules=rules)
    assert (told["valid"], told["failed"]) == (4, 1)
    assert [(row["unit_id"], row["topic"], row["_count"]) for row in found] == [("a", "x", 3), ("c", "x", 1)]
    assert [answer["answer"] for answer in found[0]["answers"]] == ["one", "two", "four"]
    assert found[1]["answers"] == [{"part": "five", "answer": "five"}]
    assert found[0]["parts"] == ["one", "two", "three", "four"] and "_fan_index" not in found[0]


def test_nested_fans_and_a_second_round_of_questions(shaped) -> None:
    items = "questions:\n  - {id: a, boxes: [[p, q], [r]]}\n  - {id: b, boxes: [[s]]}\n"
    steps = """
- {name: boxes, scope: fan_out, field: boxes, child_field: box}
- {name: things, scope: fan_out, field: box, child_field: part}
- {name: ask}
- {name: packed, scope: fan_in, field: said, collect: [answer]}
- {name: shipped, scope: fan_in}
"""
    _, found = shaped(steps, "realtime", items=items)
    assert [(row["unit_id"], row["_count"]) for row in found] == [("a", 2), ("b", 1)]
    assert [[one["answer"] for one in box["said"]] for box in found[0]["boxes"]] == [["p", "q"], ["r"]]


@MODES
def test_groups_become_one_unit_each(shaped, mode: str) -> None:
    steps = "- {name: topics, scope: aggregate, group_by: topic, field: members, collect: [unit_id]}\n- {name: ask}"
    _, found = shaped(steps, mode, template="answer: {{ members | length }}\n")
    assert [(row["unit_id"], row["topic"], row["_count"], row["answer"]) for row in found] == [
        ("topics-x", "x", 2, "2"),
        ("topics-y", "y", 2, "2"),
    ]
    assert found[0]["members"] == [{"unit_id": "a"}, {"unit_id": "c"}]


def test_doubles_and_samples_go_no_further(shaped) -> None:
    items = "questions:\n" + "".join(f"  - {{id: q{n}, kind: {n % 7}}}\n" for n in range(40))
    steps = """
- {name: kinds, scope: dedupe, by: kind}
- {name: some, scope: sample, count: 4}
- {name: ask}
"""
    told, found = shaped(steps, "realtime", items=items, template="answer: {{ kind }}\n")
    assert told["valid"] == len(found) == 4
    assert len({row["kind"] for row in found}) == 4
    assert {row["unit_id"] for row in found} <= {f"q{n}" for n in range(7)}


@MODES
def test_units_to_which_a_step_does_not_apply_pass_it(shaped, headgate_sim: Simulator, mode: str) -> None:
    """`when` and `needs`: written out of order, asked about only where it applies, and nothing is paid for the others."""
    steps = """
- {name: ask, needs: [size], when: size > 0}
- {name: size, scope: expression, expressions: {size: "len(parts) if isinstance(parts, list) else 0"}}
"""
    told, found = shaped(steps, mode, template="answer: {{ size }}\n")
    assert (told["valid"], len(headgate_sim.bill.lines)) == (4, 2)
    assert {row["unit_id"]: row.get("answer") for row in found} == {"a": "4", "b": None, "c": "1", "d": None}


BLAME = """
- {name: ask}
- {name: tidy, scope: expression, expressions: {long: "len(answer)"}}
- {name: gate, scope: expression, expressions: {fine: "answer != 'bad'"}, retry_from: ask}
"""
GATE = "  gate: {rules: [{name: good_only, expr: fine, error: 'not {answer} again'}]}"
MENDED = (
    "answer: {% if _retry is defined %}{{ _retry.errors[0].message }}, try {{ _retry.attempt }}"
    "{% elif topic == 'x' %}bad{% else %}good{% endif %}\n"
)


@MODES
def test_a_gate_sends_units_back_to_where_the_fault_was_made(shaped, headgate_sim: Simulator, mode: str) -> None:
    """OCT-103, OCT-77: only the units that failed are asked about again, and told why."""
    told, found = shaped(BLAME, mode, rules=GATE, template=MENDED)
    assert (told["state"], told["valid"], told["failed"]) == ("complete", 4, 0)
    assert {row["unit_id"]: row["answer"] for row in found} == {
        "a": "not bad again, try 1",
        "b": "good",
        "c": "not bad again, try 1",
        "d": "good",
    }
    assert len(headgate_sim.bill.lines) == 6


@MODES
def test_a_unit_that_never_passes_the_gate_fails_there(shaped, headgate_sim: Simulator, mode: str) -> None:
    template = "answer: {% if topic == 'x' %}bad{% else %}good{% endif %}\n"
    told, found = shaped(BLAME.replace("retry_from: ask", "retry_from: ask, max_attempts: 3"), mode, rules=GATE, template=template)
    assert (told["valid"], told["failed"], len(found)) == (2, 2, 2)
    assert len(headgate_sim.bill.lines) == 2 + 2 * 3
    failures = rows(told["outputs"]["failures"])
    assert {(row["unit_id"], row["step"], row["failure_stage"], row["tries"]) for row in failures} == {
        ("a", "gate", "rule", 3),
        ("c", "gate", "rule", 3),
    }


def test_what_failed_before_units_were_gathered_cannot_join_them(shaped, headgate: Command) -> None:
    """It would be lost without a word: it is refused, and so is judging it again."""
    steps = """
- {name: split, scope: fan_out, field: parts, child_field: part}
- {name: ask, max_attempts: 1}
- {name: back, scope: fan_in}
"""
    told, _ = shaped(steps, "realtime", rules="    rules: [{name: no_threes, expr: \"answer != 'three'\"}]")
    assert told["failed"] == 1
    for command in ("retry", "revalidate"):
        refused = headgate(command, "one", code=2)
        assert "step 'back' has brought its units together already" in refused.err and "--cache" in refused.err
    assert headgate("status", "one", "--json", code=0).json()["state"] == "complete"


def test_units_that_a_gate_gave_up_get_new_tries(shaped, headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """The gate itself would say the same again; the step it blames is asked, and what is done once is done again."""
    template = "answer: {% if topic == 'x' %}bad{% else %}good{% endif %}\n"
    steps = BLAME.replace("retry_from: ask", "retry_from: ask, max_attempts: 1") + "- {name: files, scope: run, script: extract_units}\n"
    told, _ = shaped(steps, "realtime", rules=GATE, template=template)
    files = headgate_environment / "runs" / "one" / "outputs" / "files"
    assert (told["valid"], told["failed"], len(list(files.iterdir()))) == (2, 2, 2)
    assert headgate("retry", "one", "--json", code=0).json()["units"] == 2
    asked = len(headgate_sim.bill.lines)
    again = headgate("run", "Quiz", "-r", "one", "--json", code=0).json()
    assert (again["valid"], again["failed"], len(headgate_sim.bill.lines) - asked) == (2, 2, 0)
    headgate("verify", "one", code=0)


def test_a_gate_makes_an_expression_step_draw_anew(shaped) -> None:
    """A die is thrown until it shows a six; the same unit throws other numbers each time."""
    steps = """
- {name: throw, scope: expression, expressions: {pips: "random.randint(1, 6)"}}
- {name: gate, scope: expression, expressions: {six: "pips == 6"}, retry_from: throw, max_attempts: 200}
- {name: ask}
"""
    _, found = shaped(steps, "realtime", rules="  gate: {rules: [{name: sixes, expr: six}]}", template="answer: {{ pips }}\n")
    assert [row["answer"] for row in found] == ["6"] * 4


def test_a_judge_that_cannot_be_read_is_asked_again_itself(shaped, headgate_sim: Simulator) -> None:
    """Only a broken rule is the earlier step's fault: the verdicts are spoilt until their own tries are used up, and nothing goes back."""
    headgate_sim.set_faults((SimRule(Twist("invalid"), Match(operation="chat")),))
    steps = "- {name: count, scope: expression, expressions: {n: '1'}}\n- {name: ask, retry_from: count, max_attempts: 2}"
    told, _ = shaped(steps, "realtime", template="answer: {{ topic }}\n", code=1)
    assert (told["valid"], told["failed"], len(headgate_sim.bill.lines)) == (0, 4, 8)
    assert {(row["step"], row["failure_stage"], row["tries"]) for row in rows(told["outputs"]["failures"])} == {("ask", "schema", 2)}


FILES = """
- {name: ask}
- {name: files, scope: run, script: extract_units, output_dir: units, filename_expression: "topic + '/' + unit_id", compression: gzip}
"""


def test_a_file_for_each_unit(shaped, headgate_environment: Path) -> None:
    """OCT-142: safe names, whole folders, once."""
    told, _ = shaped(FILES, "realtime", template="answer: {{ topic }}\n")
    folder = headgate_environment / "runs" / "one" / "outputs" / "units"
    assert sorted(path.name for path in folder.iterdir()) == ["x_a.json.gz", "x_c.json.gz", "y_b.json.gz", "y_d.json.gz"]
    assert json.loads(gzip.decompress((folder / "x_a.json.gz").read_bytes()))["answer"] == "x"
    assert told["valid"] == 4


def test_files_that_are_compressed_already_are_no_fault_the_next_time(shaped, headgate: Command, headgate_environment: Path) -> None:
    """The run step is done once, so that its files are there in their compressed form alone."""
    more = "post_process: [{name: pack, type: gzip, files: ['units/*.json']}]\n"
    shaped(FILES.replace(", compression: gzip", ""), "realtime", template="answer: {{ topic }}\n", more=more)
    folder = headgate_environment / "runs" / "one" / "outputs" / "units"
    first = sorted(path.name for path in folder.iterdir())
    assert "failed" not in headgate("run", "Quiz", "-r", "one", code=0).err
    assert sorted(path.name for path in folder.iterdir()) == first == ["x_a.json.gz", "x_c.json.gz", "y_b.json.gz", "y_d.json.gz"]


def test_names_that_meet_stop_the_run_with_its_reason(shaped, headgate: Command, headgate_environment: Path) -> None:
    told, _ = shaped(FILES.replace(" + '/' + unit_id", ""), "realtime", template="answer: {{ topic }}\n", code=1)
    assert told["state"] == "failed" and told["reason"] == "two units would be written to x.json"
    assert not list((headgate_environment / "runs" / "one" / "outputs").glob("*units*"))


def test_programs_of_the_pipeline_need_the_users_word(shaped, headgate: Command, headgate_environment: Path) -> None:
    steps = "- {name: ask}\n- {name: count, scope: run, script: count.py}"
    more = "post_process:\n  - {name: lines, script: lines.py, args: ['7'], output: lines.txt}\n"
    with pytest.raises(AssertionError):
        shaped(steps, "realtime", template="answer: {{ topic }}\n", more=more)
    refused = headgate("run", "Quiz", "-r", "one", code=3)
    assert "runs count.py, a program of the pipeline's own" in refused.err and "add --allow-scripts" in refused.err
    pipeline = headgate_environment / "pipelines" / "Quiz"
    (pipeline / "count.py").write_text(
        "import os, sys\nassert not [n for n in os.environ if 'KEY' in n]\nopen(sys.argv[2] + '/seen', 'w').write(sys.argv[4])\n"
    )
    (pipeline / "lines.py").write_text(
        "import sys\nprint(len(open(sys.argv[1] + '/outputs/results.jsonl').readlines()) + int(sys.argv[2]))\n"
    )
    told = headgate("run", "Quiz", "-r", "one", "--allow-scripts", "--json", code=0).json()
    folder = headgate_environment / "runs" / "one"
    assert (folder / "seen").read_text() == "count"
    assert Path(told["outputs"]["lines"]).read_text() == "11\n"
    again = headgate("run", "Quiz", "-r", "one", code=0)
    assert "post_process 'lines' failed: lines.py is a program of the pipeline's own" in again.err


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(
    shaped, headgate: Command, headgate_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alive = tmp_path_factory.mktemp("alive") / "pid"
    more = "post_process:\n  - {name: endless, script: endless.py, output: never.txt}\n"
    config = CONFIG.format(steps="    - {name: ask}", rules="").replace("sim-openai}", "sim-openai, subprocess_timeout_seconds: 2}") + more
    home = write_quiz(headgate_environment, config=config, items=LISTS, template="answer: {{ topic }}\n")
    child = f"import subprocess, sys\np = subprocess.Popen(['sleep', '600'])\nopen({str(alive)!r}, 'w').write(str(p.pid))\np.wait()\n"
    (home / "endless.py").write_text(child)
    told = headgate("run", "Quiz", "-r", "one", "--allow-scripts", code=0)
    assert "post_process 'endless' failed: endless.py did not end within 2 seconds" in told.err
    status = Path(f"/proc/{alive.read_text()}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_report_that_fails_does_not_fail_the_run(shaped) -> None:
    broken = "{name: broken, type: gzip, files: ['*.nothing']}"
    pack = "{name: pack, type: gzip, files: ['results.jsonl'], keep_originals: true}"
    more = f"post_process: [{broken}, {pack}]\n"
    told, _ = shaped("- {name: ask}", "realtime", template="answer: {{ topic }}\n", more=more)
    assert told["state"] == "complete"
    assert "post_process 'broken' failed: no file below" in told["err"]
    packed = Path(told["outputs"]["results"]).with_name("results.jsonl.gz")
    assert len(gzip.decompress(packed.read_bytes()).splitlines()) == 4


def test_reports_of_a_pipeline_are_made_without_running_anything(shaped) -> None:
    """OCT-156, as Octobatch's configurations write them: shares by group with nets, numbers, and CSV."""
    shares = "--group-by, topic, --count-field, size, --net-positive, big, --net-negative, small, --title, Sizes"
    numbers = '--group-by, topic, --numeric-field, n, --custom-stat, "Spread=max_val - min_val"'
    more = f"""post_process:
  - {{name: shares, script: scripts/analyze_results.py, args: [{shares}], output: reports/shares.txt}}
  - {{name: numbers, script: analyze_results, args: [{numbers}], output: n.txt}}
  - {{name: csv, command: "scripts/analyze_results.py --group-by topic --count-field size --output-format csv", output: sizes.csv}}
  - {{name: wrong, script: analyze_results, args: [--group-by, topic], output: no.txt}}
"""
    steps = """
- {name: count, scope: expression, expressions: {n: "len(parts)", size: "'big' if n > 3 else 'small'"}}
- {name: ask}
"""
    told, _ = shaped(steps, "realtime", template="answer: {{ n }}\n", more=more)
    text = Path(told["outputs"]["shares"]).read_text(encoding="utf-8")
    assert "Sizes" in text and "Total: 4 results" in text and "50.0" in text
    assert "Spread" in Path(told["outputs"]["numbers"]).read_text(encoding="utf-8")
    assert Path(told["outputs"]["csv"]).read_text(encoding="utf-8").splitlines()[1].startswith("x,2,")
    assert "post_process 'wrong' failed: analyze_results: one of the arguments --count-field --numeric-field is required" in told["err"]


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ("- {name: split, scope: fan_out, field: nope}\n- {name: ask}", "needs 'nope', which nothing before it provides"),
        ("- {name: back, scope: fan_in}\n- {name: ask}", "has no fan_out before it"),
        (
            "- {name: ask}\n- {name: split, scope: fan_out, field: parts}\n"
            "- {name: g, scope: expression, expressions: {z: '1'}, retry_from: ask}",
            "units are no longer the same after step 'split'",
        ),
        ("- {name: ask, needs: [g]}\n- {name: g, scope: expression, expressions: {z: '1'}, needs: [ask]}", "goes round in a circle"),
        ("- {name: ask, needs: [other]}", "'needs' names 'other', which is no other step"),
        ("- {name: ask, when: nope > 1}", "'when' of step 'ask' needs 'nope'"),
        ("- {name: s, scope: sample}\n- {name: ask}", "needs 'count' or 'share'"),
        ("- {name: s, scope: sample, share: 1.5}\n- {name: ask}", "'share' must be from 0 to 1"),
        ("- {name: s, scope: dedupe}\n- {name: ask}", "needs 'by'"),
        ("- {name: s, scope: aggregate, group_by: nope}\n- {name: ask}", "needs 'nope'"),
        ("- {name: ask}\n- {name: r, scope: run, script: extract_units, output_dir: ../out}", "must name a place below the run's outputs"),
        ("- {name: r, scope: run, script: extract_units}", "a pipeline needs a step that units go through"),
    ],
)
def test_faults_of_a_shape_are_told_with_their_place(headgate: Command, headgate_environment: Path, steps: str, complaint: str) -> None:
    indented = "".join(f"    {line}\n" for line in steps.splitlines())
    config = CONFIG.format(steps=indented.rstrip(), rules="")
    if "name: ask" not in steps:
        config = (
            config.replace("{ask: ask.jinja2}", "{}").replace("{ask: ask.json}", "{}").replace("  ask:\n    required: [answer]\n", "  {}\n")
        )
    write_quiz(headgate_environment, config=config, items=LISTS, template="answer: {{ topic }}\n")
    refused = headgate("validate", "Quiz", code=3)
    assert complaint in refused.err
    assert "config.yaml:" in refused.err
