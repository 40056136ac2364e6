"""Every Python snippet of the documentation is run, and so is the demo whose output the README shows; the simulator plays the providers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.batch.home import Home
from headgate.cli import main
from headgate.testing.gateway import Rig, running_gateway

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SIMULATED = {
    "openai/gpt-4o-mini": "sim-openai/sim-small",
    "openai/text-embedding-3-small": "sim-openai/sim-small",
    "anthropic/claude-sonnet-4-5": "sim-anthropic/sim-small",
}
"""Models the documentation names, and what answers for them here."""
ADDRESS, KEY = "http://127.0.0.1:6120", "the key that serve printed"


def snippets() -> list[tuple[str, str]]:
    """Place and text of every Python block."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, block.start()) + 2
            found.append((f"{page.relative_to(ROOT)}:{line}", block[1]))
    return found


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway over a simulator."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def run(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Runs a snippet in an empty folder, against the simulator."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_SIM_URL", rig.sim.url)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))

    def work(where: str, text: str) -> None:
        for name, stand_in in (*SIMULATED.items(), (ADDRESS, rig.url), (KEY, rig.key)):
            text = text.replace(f'"{name}', f'"{stand_in}')
        if 'Run("my-run")' in text:
            finished = "run DrunkenSailor --provider sim-openai --run-dir my-run --max-units 4 --quiet"
            assert main(finished.split()) == 0
        names: dict[str, object] = {"__name__": "snippet"}
        exec(compile(text, where, "exec"), names)
        if "with Client" not in text and (client := names.get("client")) is not None:
            client.close()  # type: ignore[attr-defined]

    return work


@pytest.mark.parametrize(("where", "text"), snippets())
def test_the_snippet_runs(run: Callable[[str, str], None], where: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(where, text)
    assert "print(" not in text or capsys.readouterr().out.strip()


def shape(text: str) -> list[str]:
    """The lines of an output without its figures, dashes and blanks; of two runs begun in one second the later has a number more."""
    named = re.sub(r"(drunkensailor)-\d{8}-\d{6}(?:-\d+)?", r"\1-#", text)
    bare = re.sub(r"[\d,.:]*\d", "#", re.sub(r"-{2,}", "-", named))
    return [" ".join(line.split()) for line in bare.splitlines()]


def test_the_readme_shows_what_the_demo_prints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))
    assert main(["demo", "--quiet", "--units", "40"]) == 0
    printed = capsys.readouterr().out
    assert "equal to the nano-dollar" in printed
    assert shape(printed) == shape(shown[1])
    assert main(printed.splitlines()[-1].partition("headgate ")[2].split()) == 0
    status = re.search(r"```text\n(drunken.*?)```", (ROOT / "docs/tutorial/first-run.md").read_text(encoding="utf-8"), re.DOTALL)
    assert status is not None
    assert shape(capsys.readouterr().out) == shape(status[1])


def output_block(page: str) -> str:
    """The first block of printed text on a page."""
    found = re.search(r"```text\n(error.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_error_that_is_shown_is_the_one_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "DrunkenSailor", "--provider", "opanai"]) == 3
    assert capsys.readouterr().err == output_block("docs/reference/errors.md")


def test_a_second_process_is_told_who_drives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with Home(Path("runs/my-run")):
        assert main(["run", "DrunkenSailor", "--provider", "sim-openai", "--run-dir", "runs/my-run"]) == 1
    assert shape(capsys.readouterr().err.replace(f"{tmp_path}/", "")) == shape(output_block("docs/how-to/resume-a-run.md"))
