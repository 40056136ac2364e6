"""Runs LangChain's standard tests of a chat model, with its class for OpenAI, against a gateway over the simulator.

::

    python tools/langchain_suite.py [--provider sim-anthropic] [--responses] [--python PATH]

The packages are no requirement of ours: without `--python` an environment for them is made first, which takes a while. What the tests fetch
from the web is served to them from here. Each failure is counted under its reason; those of `WORDS` are expected, since they want a model
that understands what it is asked, and the simulator answers at random. The exit code is 1 when a test fails for another reason.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from headgate.sim.settings import SimSettings
from headgate.testing.gateway import running_gateway
from headgate.wire.json import JsonObject

REQUIREMENTS = ("langchain-tests==1.1.9", "langchain-openai==1.7.4", "pytest-asyncio")
WORDS = {
    "test_tool_calling": "wants the number of the question as argument",
    "test_tool_calling_async": "wants the number of the question as argument",
    "test_agent_loop": "wants the weather tool to be called unasked",
    "test_unicode_tool_call_integration": "wants the letters of the question as argument",
    "test_json_mode": "wants fields that only the words of the question name",
}
"""Tests that a model can only pass by understanding, and what they want."""
SUITE = """
import base64, os
import httpx, pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
PDF = b"%PDF-1.4\\n1 0 obj<</Type/Catalog>>endobj\\ntrailer<</Root 1 0 R>>\\n%%EOF\\n"


@pytest.fixture(autouse=True)
def web(monkeypatch):
    def get(url, **options):
        return httpx.Response(200, content=PDF if str(url).endswith(".pdf") else PIXEL, request=httpx.Request("GET", url))
    monkeypatch.setattr(httpx, "get", get)


class TestGate(ChatModelIntegrationTests):
    chat_model_class = ChatOpenAI
    supports_image_inputs = supports_image_urls = supports_pdf_inputs = supports_json_mode = supports_anthropic_inputs = True
    chat_model_params = {
        "model": os.environ["GATE_MODEL"],
        "base_url": os.environ["GATE_URL"],
        "api_key": os.environ["GATE_KEY"],
        "max_retries": 0,
        "stream_usage": True,
        "use_responses_api": os.environ["GATE_RESPONSES"] == "1",
    }
"""
OPTIONS = "[pytest]\nasyncio_mode = auto\nasyncio_default_test_loop_scope = session\nasyncio_default_fixture_loop_scope = session\n"


def made_python(folder: Path) -> str:
    """The interpreter of a new environment with LangChain's tests."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-qq", *REQUIREMENTS], check=True)
    return python


def run_suite(folder: Path, python: str, settings: dict[str, str]) -> Path:
    """Run the suite; returns its report in JUnit's XML."""
    report = folder / "report.xml"
    (folder / "test_gate.py").write_text(SUITE, encoding="utf-8")
    (folder / "pytest.ini").write_text(OPTIONS, encoding="utf-8")
    command = [python, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", f"--junitxml={report}", "test_gate.py"]
    done = subprocess.run(command, cwd=folder, env={**settings, "PATH": os.defpath}, check=False, capture_output=True, text=True)
    if not report.exists():
        raise SystemExit(f"error: the suite did not run\n{done.stdout}{done.stderr}")
    return report


def counted(report: Path) -> JsonObject:
    """How many tests ended how, and why those that failed did."""
    total: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = re.sub(r"\[.*", "", case.get("name", ""))
        bad = next((child for child in case if child.tag in ("failure", "error")), None)
        if bad is None:
            total["skipped" if case.find("skipped") is not None else "passed"] += 1
            continue
        kind = "not a model" if name in WORDS else "failed"
        total[kind] += 1
        reasons[f"{kind}: {name}: {WORDS.get(name) or ' '.join(bad.get('message', '').split())[:300]}"] += 1
    return {"total": dict(total), "reasons": dict(reasons)}


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--provider", default="sim-openai", help="who answers")
    parser.add_argument("--responses", action="store_true", help="ask /v1/responses instead of /v1/chat/completions")
    parser.add_argument("--python", help="an interpreter that has what the suite needs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = asked.python or made_python(folder / "venv")
        with running_gateway(folder, settings=SimSettings(seed=7)) as rig:
            settings = {
                "GATE_URL": f"{rig.url}/v1",
                "GATE_KEY": rig.key,
                "GATE_MODEL": f"{asked.provider}/sim-small",
                "GATE_RESPONSES": "1" if asked.responses else "0",
            }
            report = run_suite(folder, python, settings)
        surface = "responses" if asked.responses else "chat"
        found = {"suite": REQUIREMENTS[0], "answered by": asked.provider, "surface": surface, **counted(report)}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    return 1 if "failed" in found["total"] else 0


if __name__ == "__main__":
    sys.exit(main())
