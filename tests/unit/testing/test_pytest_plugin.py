"""What users' tests get from the plugin, shown by tests that pytest runs in a pytest of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "headgate.testing.pytest_plugin"
ROOT = Path(__file__).parents[3]

ASKING = """
import json, os, urllib.error, urllib.request

def ask(url, key="sim-key"):
    body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + "/chat/completions", body, headers)) as answer:
        return json.load(answer)
"""

TESTS = """
import pytest
from asking import ask, os, urllib

def test_the_bill_has_what_was_asked(headgate_sim):
    assert headgate_sim.bill.total == 0
    usage = ask(headgate_sim.url_of("openai"))["usage"]
    (line,) = headgate_sim.bill.lines
    assert line.usage.input == usage["prompt_tokens"] and headgate_sim.bill.total == line.nanos > 0

def test_it_fails_when_told(headgate_sim):
    assert len(headgate_sim.bill) == 0
    headgate_sim.fail("rate_limit", provider="openai", first=1)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(headgate_sim.url_of("openai"))
    refused.value.close()
    assert refused.value.code == 429
    assert ask(headgate_sim.url_of("openai"))["choices"]

def test_no_fault_is_left_over(headgate_sim):
    assert ask(headgate_sim.url_of("groq"))["x_groq"]
    with pytest.raises(KeyError):
        headgate_sim.url_of("nobody")

def test_the_environment(headgate_environment, headgate_sim):
    assert os.environ["HEADGATE_SIM_URL"] == headgate_sim.url
"""


@pytest.fixture
def users(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("HEADGATE_SIM_URL", raising=False)
    pytester.makepyfile(asking=ASKING)
    return pytester


@pytest.mark.parametrize("option", [(), ("--headgate-sim",)])
def test_the_fixture_works_with_and_without_the_option(users: pytest.Pytester, option: tuple[str, ...]) -> None:
    users.makepyfile(TESTS)
    users.runpytest_inprocess("-p", PLUGIN, *option).assert_outcomes(passed=4)


def test_the_option_serves_tests_that_know_nothing_of_it(users: pytest.Pytester) -> None:
    users.makepyfile(
        """
        from asking import ask, os

        seen = []

        def test_one():
            seen.append(os.environ["HEADGATE_SIM_URL"])
            assert ask(seen[0] + "/openai/v1")["choices"]

        def test_two(headgate_sim):
            assert [headgate_sim.url] == seen
        """
    )
    result = users.runpytest_inprocess("-p", PLUGIN, "--headgate-sim")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["headgate simulator: http://127.0.0.1:*"])


def test_without_the_option_nothing_is_started(users: pytest.Pytester) -> None:
    users.makepyfile(
        """
        import os

        def test_one():
            assert "HEADGATE_SIM_URL" not in os.environ
        """
    )
    result = users.runpytest_inprocess("-p", PLUGIN)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("headgate simulator:*")


def test_settings_and_clock_can_be_overridden(users: pytest.Pytester) -> None:
    users.makepyfile(
        """
        import pytest
        from headgate.sim.faults import Rule, Status
        from headgate.sim.settings import SimSettings

        @pytest.fixture
        def headgate_sim_settings():
            return SimSettings(seed=9, faults=(Rule(Status("overloaded")),))

        def test_one(headgate_sim):
            assert headgate_sim.settings.seed == 9
            before = headgate_sim.clock.now()
            headgate_sim.advance(60)
            assert headgate_sim.clock.now() == before + 60
        """
    )
    users.runpytest_inprocess("-p", PLUGIN).assert_outcomes(passed=1)


def test_installing_headgate_installs_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
