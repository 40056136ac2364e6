"""Rendering: what a template may do, what it may not, and that one bad unit costs only itself."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from headgate.batch.render_protocol import HEADER, Job, Setup, decode_results, encode_context, frame
from headgate.batch.sandbox import template_environment
from headgate.batch.templates import RenderError, RenderPool, RenderSettings, prompt_context

QUICK = RenderSettings(seconds=0.2, grace=0.3)


def render(source, contexts, settings=QUICK, **others):
    async def main():
        async with RenderPool({"main": source, **others}, {"step": "main"}, settings) as pool:
            return await pool.render("step", contexts), pool.replaced

    return asyncio.run(main())


def test_prompts_come_in_the_order_of_their_contexts():
    prompts, replaced = render(
        "{{ n }}: {{ npc.name }} & {{ '<b>' }}\n",
        [{"n": n, "npc": {"name": "é\u2028"}} for n in range(1000)],
        RenderSettings(batch=64, workers=2),
    )
    assert prompts == [f"{n}: é\u2028 & <b>\n" for n in range(1000)]
    assert replaced == 0


def test_nothing_to_render():
    assert render("x", []) == ([], 0)


def test_includes_macros_and_bounded_globals():
    source = (
        "{% macro m(a) %}<{{ a }}>{% endmacro %}{% include 'part' %}"
        "{% for i in range(3) %}{{ m(i) }}{% endfor %}{% set ns = namespace(x=1) %}{{ ns.x }}"
    )
    assert render(source, [{"who": "me"}], part="hi {{ who }} ")[0] == ["hi me <0><1><2>1"]


def test_a_missing_field_fails_its_unit_only():
    """OCT-81."""
    prompts, _ = render("{{ name }}", [{"name": "a"}, {}, {"name": "c"}])
    assert prompts == ["a", RenderError("undefined", "'name' is undefined"), "c"]


FOREVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_a_template_that_loops_for_ever_fails_its_unit_only():
    prompts, replaced = render("{% if n == 2 %}" + FOREVER + "{% endif %}{{ n }}", [{"n": n} for n in range(5)])
    assert prompts[2] == RenderError("timeout", "the template was still running after 0.2 s")
    assert prompts[:2] + prompts[3:] == ["0", "1", "3", "4"]
    assert replaced == 0


def test_a_worker_that_cannot_be_interrupted_is_replaced():
    """Comparing huge lists happens inside one C call, where no deadline is heard."""
    source = (
        "{% if n == 2 %}{% set a = range(99999)|list %}{% set b = range(99999)|list %}"
        "{{ [a] * 40 * 500 == [b] * 40 * 500 }}{% endif %}{{ n }}"
    )
    prompts, replaced = render(source, [{"n": n} for n in range(4)])
    assert prompts == ["0", "1", RenderError("timeout", "the template was still running long after its deadline"), "3"]
    assert replaced == 2


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("{{ '%999999999d' % 1 }}", "memory"),
        ("{{ 'a'|center(999999999) }}", "memory"),
        ("{{ 'a' * 1000000000 }}", "error"),
        ("{{ 10 ** 3999999 }}", "error"),
        ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "too_large"),
        ("{% for a in range(100000000) %}{% endfor %}", "error"),
        ("{{ ''.__class__.__mro__ }}", "error"),
        ("{{ ''|attr('__class__') }}", "error"),
        ("{{ '{0.__class__}'.format(1) }}", "error"),
        ("{{ self.__init__.__globals__ }}", "error"),
        ("{{ items.append(1) }}", "error"),
        ("{{ cycler }}", "undefined"),
        ("{{ lipsum(n=200000) }}", "undefined"),
        ("{{ joiner }}", "undefined"),
        ("{% include 'other' %}", "error"),
        ("{% include '/etc/hostname' %}", "error"),
        ("{% if %}", "error"),
        ("{{ 1 / 0 }}", "error"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "error"),
        ("{{ '\\ud800' }}", "error"),
    ],
)
def test_what_a_template_may_not_do(source, kind):
    started = time.monotonic()
    prompts, _ = render(source, [{"items": []}, {"items": []}])
    assert [prompt.kind if isinstance(prompt, RenderError) else prompt for prompt in prompts] == [kind, kind]
    assert all(0 < len(prompt.message) <= 500 for prompt in prompts)
    assert time.monotonic() - started < 5


def test_a_context_that_cannot_travel_fails_its_unit_only():
    prompts, _ = render("{{ n }}", [{"n": 1}, {"n": 2**70}, {"n": 3}])
    assert [prompts[0], prompts[2]] == ["1", "3"]
    assert isinstance(prompts[1], RenderError)


def test_a_cancelled_render_leaves_the_pool_usable():
    async def main():
        async with RenderPool({"main": "{% if n %}" + FOREVER + "{% endif %}ok"}, {"step": "main"}, RenderSettings(seconds=30)) as pool:
            assert await pool.render("step", [{"n": 0}]) == ["ok"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.render("step", [{"n": 1}]), 0.2)
            return await pool.render("step", [{"n": 0}])

    assert asyncio.run(main()) == ["ok"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_know_no_secrets_and_end_with_the_pool(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    def workers():
        children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
        return [Path("/proc") / pid for pid in children if b"render_worker" in (Path("/proc") / pid / "cmdline").read_bytes()]

    async def main():
        async with RenderPool({"main": "ok"}, {"step": "main"}) as pool:
            await pool.render("step", [{}])
            (worker,) = workers()
            return worker, (worker / "environ").read_bytes()

    worker, environment = asyncio.run(main())
    assert b"sk-secret" not in environment
    assert not worker.exists()


def test_the_worker_itself_over_its_pipes():
    setup = Setup({"main": "hi {{ a }}"}, {"step": "main"}, 1.0, 512 << 20, 1000)
    job = Job("step", [msgspec.Raw(encode_context(context)) for context in ({"a": 1}, {"b": 1})])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "headgate.batch.render_worker"],
        input=frame(setup) + frame(job),
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == b""
    frames, rest = [], done.stdout
    while rest:
        size = int.from_bytes(rest[:HEADER], "big")
        frames.append(decode_results(rest[HEADER : HEADER + size]))
        rest = rest[HEADER + size :]
    assert frames[0].ready
    assert [(outcome.text, outcome.kind) for frame in frames[1:] for outcome in frame.outcomes] == [("hi 1", ""), (None, "undefined")]


def test_ten_thousand_renders_a_second():
    contexts = [{"name": f"n{n}", "items": [1, 2, 3]} for n in range(5000)]
    source = "Hello {{ name }}, " + "x" * 900 + "{% for item in items %}{{ item }},{% endfor %}\n"

    async def main():
        async with RenderPool({"main": source}, {"step": "main"}) as pool:
            await pool.render("step", contexts[:1])
            started = time.perf_counter()
            prompts = await pool.render("step", contexts)
            return prompts, time.perf_counter() - started

    prompts, seconds = asyncio.run(main())
    assert len(prompts) == 5000
    assert seconds < 2.5, f"{5000 / seconds:.0f} renders/s"


def test_the_context_of_a_prompt():
    fields = {"a": 1, "b": 2}
    assert prompt_context(fields, {"a": 0, "house": 3}, {"b": 5}) == {"a": 1, "b": 5, "house": 3}
    assert prompt_context(fields, {}, retry_attempt=2, retry_errors=[{"message": "x"}])["_retry"] == {
        "attempt": 2,
        "errors": [{"message": "x"}],
    }
    assert fields == {"a": 1, "b": 2}


def test_the_environment_has_only_harmless_globals():
    assert set(template_environment({}).globals) == {"range", "dict", "namespace"}
