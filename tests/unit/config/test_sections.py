"""The sections of the settings file: what they come to, and what is said of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.config import Environment, Settings, load_settings
from headgate.config.gate_settings import BudgetSettings, CacheSettings, GatewaySettings, LimitSettings
from headgate.config.leaves import rows
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.domain.cost import NANO
from headgate.errors import ConfigError

SECRET = "whsec-0123456789abcdef"

EXAMPLE = """
aliases: {fast: groq/llama-3.1-8b-instant, opus: anthropic/claude-opus-4-5}
routes:
  chat:
    strategy: weighted
    sticky: session
    hedge: 2.5
    deployments:
      - openai/gpt-4o-mini
      - {model: azure_openai/gpt-4o-mini, account: eu, weight: 2, rpm: 500, tpm: 200000, concurrency: 50, timeout: 60, region: eu}
    fallback: [groq/llama-3.3-70b-versatile]
routing: {strategy: cost_optimized, fallback: [ollama, openai], attempts: 4, retry_budget: 0.1, deadline: 300, quality: {openai/gpt-5: 900}}
budgets:
  - {scope: global, limit_usd: "50", window: day}
  - {scope: "key:*", limit_usd: 0.1, action: clamp, alerts: [50, 100]}
  - {scope: "team:red", limit_usd: 19.999999999, window: "rolling:3600", action: degrade}
limits: [{subject: "key:*", rpm: 60, tpm: 40000, concurrency: 20, queue: 2}]
alerts: {webhook: "https://hooks.example.org/T0/B0/token", secret_env: ALERT_SECRET}
cache: {max_bytes: 1GiB}
gateway: {workers: 2, body_limit: 8MiB, header_timeout: 5, drain: 0, max_in_flight: 100, metrics: true, store_prompts: true}
"""


def load(folder: Path, yaml: str = "", **real: str) -> Settings:
    """The settings of a file and some variables."""
    (folder / "headgate.yaml").write_text(yaml)
    return load_settings(Environment({"HOME": "/homes/user", **real}), folder)


def test_every_section(tmp_path: Path) -> None:
    found = load(tmp_path, EXAMPLE, ALERT_SECRET=SECRET)
    assert found.aliases == {"fast": "groq/llama-3.1-8b-instant", "opus": "anthropic/claude-opus-4-5"}
    second = DeploymentSettings(
        model="azure_openai/gpt-4o-mini", account="eu", weight=2.0, rpm=500, tpm=200000, concurrency=50, timeout=60.0, region="eu"
    )
    chat = RouteSettings(
        name="chat",
        strategy="weighted",
        sticky="session",
        hedge=2.5,
        deployments=(DeploymentSettings(model="openai/gpt-4o-mini"), second),
        fallback=("groq/llama-3.3-70b-versatile",),
    )
    assert found.routes == {"chat": chat}
    assert found.routing == RoutingSettings(
        strategy="cost_optimized",
        fallback=("ollama", "openai"),
        attempts=4,
        retry_budget=0.1,
        deadline=300.0,
        quality={"openai/gpt-5": 900},
    )
    assert found.budgets == (
        BudgetSettings(scope="global", limit_nanos=50 * NANO, window="day"),
        BudgetSettings(scope="key:*", limit_nanos=NANO // 10, action="clamp", alerts=(50, 100)),
        BudgetSettings(scope="team:red", limit_nanos=19_999_999_999, window="rolling:3600", action="degrade"),
    )
    assert found.limits == (LimitSettings(subject="key:*", rpm=60, tpm=40000, concurrency=20, queue=2.0),)
    assert found.cache == CacheSettings(max_bytes=1 << 30)
    assert found.gateway == GatewaySettings(
        workers=2, body_limit=8 << 20, header_timeout=5.0, drain=0.0, max_in_flight=100, metrics="key", store_prompts=True
    )
    assert found.alerts.webhook is not None
    assert found.alerts.webhook.reveal() == "https://hooks.example.org/T0/B0/token"
    assert found.alerts.secret is not None
    assert found.alerts.secret.reveal() == SECRET


def test_nothing_said_is_the_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, "aliases:\nroutes: {}\n")
    assert (found.aliases, found.routes, found.budgets, found.limits, found.cache) == ({}, {}, (), (), None)
    assert (found.routing, found.gateway) == (RoutingSettings(), GatewaySettings())
    assert found.origins["routing"] == "default"
    assert load(tmp_path, "cache: {}").cache == CacheSettings()


def test_secrets_of_the_sections_are_shown_nowhere(tmp_path: Path) -> None:
    found = load(
        tmp_path, EXAMPLE + "providers: {x: {base_url: http://x, headers: {authorization: Bearer abcdef0123456789}}}\n", ALERT_SECRET=SECRET
    )
    shown = repr(found) + str(found.explain()) + str([row.text for row in rows(found)]) + str(rows(found)) + repr(found.alerts)
    for secret in (SECRET, "token", "abcdef0123456789"):
        assert secret not in shown


MISTAKES = [
    ("routes: {chat: {deployment: [a]}}", '1:17: unknown key "deployment" of routes.chat (did you mean "deployments"?)'),
    ("routes: {chat: {fallback: [a/b]}}", "1:16: routes.chat needs deployments"),
    ("routes: {chat: {deployments: []}}", "routes.chat.deployments must have 1 to 200 items, not 0"),
    ("routes: {chat: {deployments: a/b}}", "1:30: routes.chat.deployments must be a list"),
    ("routes: {chat: {deployments: [{rpm: 5}]}}", "1:31: routes.chat.deployments[0] needs model"),
    ("routes: {chat: {deployments: [{model: a/b, rpm: many}]}}", "routes.chat.deployments[0].rpm must be a whole number from 1"),
    ("routes: {chat: {deployments: [{model: a/b, rpm: 0}]}}", "routes.chat.deployments[0].rpm must be a whole number from 1"),
    ("routes: {chat: {deployments: [{model: a/b, rpm: 1.5}]}}", "routes.chat.deployments[0].rpm must be a whole number from 1, not 1.5"),
    ("routes: {chat: {deployments: [{model: a/b, weight: 0}]}}", "needs a deployment with a weight above 0"),
    ("routes: {chat: {deployments: [{model: a/b, weight: -1}]}}", "weight must be a number from 0 to 1e+06, not '-1'"),
    ("routes: {chat: {deployments: [a/b], strategy: wieghted}}", "routes.chat.strategy must be one of local_first"),
    ("routes: {chat: {deployments: [a/b], fallback: [chat]}}", "1:16: routes.chat falls back to itself"),
    ("routes: {chat: {deployments: [a/b], fallback: [x, x]}}", "routes.chat.fallback has x twice"),
    ("routes: {'two words': {deployments: [a/b]}}", "routes has the name 'two words'"),
    ("routes: [a]", "1:9: routes must be a mapping"),
    ("aliases: {a: true}", "1:14: aliases.a must be a text such as openai/gpt-4o-mini, and in quotes, not true"),
    ("aliases: {a: }", "aliases.a has no value: give one"),
    ("aliases: {a: b, b: x/y}", "1:14: the alias a stands for another alias, b"),
    ("aliases: {a: a}", "the alias a stands for another alias, a"),
    ("aliases: {chat: x/y}\nroutes: {chat: {deployments: [a/b]}}", "1:17: the alias chat has the name of a route"),
    ("routing: {attempts: 0}", "1:21: routing.attempts must be a whole number from 1 to 20, not '0'"),
    ("routing: {retry_budget: 2}", "routing.retry_budget must be a number from 0 to 1, not '2'"),
    ("routing: {deadline: 0}", "routing.deadline must be a number above 0 and at most 86400"),
    ("budgets: [{limit_usd: 5}]", "1:11: budgets[0] needs scope"),
    ("budgets: [{scope: global, limit_usd: -5}]", "budgets[0].limit_usd must be dollars such as"),
    ("budgets: [{scope: global, limit_usd: 1e3}]", "budgets[0].limit_usd must be dollars such as"),
    ("budgets: [{scope: global, limit_usd: 0.0000000001}]", "budgets[0].limit_usd must be dollars such as"),
    ("budgets: [{scope: global, limit_usd: NaN}]", "budgets[0].limit_usd must be dollars such as"),
    ("budgets: [{scope: everybody, limit_usd: 5}]", "budgets[0].scope must be a text: global, or key:"),
    ("budgets: [{scope: global, limit_usd: 5, window: year}]", "budgets[0].window must be a text: day, week"),
    ("budgets: [{scope: global, limit_usd: 5, window: 'rolling:0'}]", "budgets[0].window must be a text: day, week"),
    ("budgets: [{scope: global, limit_usd: 5, action: deny}]", "budgets[0].action must be one of warn, block"),
    ("budgets: [{scope: global, limit_usd: 5, alerts: [90, 75]}]", "budgets[0].alerts must rise"),
    (
        "budgets: [{scope: global, limit_usd: 5}, {scope: global, limit_usd: 6, window: month}]",
        "two budgets for global and the window month",
    ),
    ("limits: [{subject: 'key:*'}]", "1:10: limits[0] needs one of rpm, tpm"),
    ("limits: [{subject: 'key:*', rpm: 1}, {subject: 'key:*', rpm: 2}]", "limits has the subject key:* twice"),
    ("limits: [{subject: 'run:x', rpm: 1}]", "limits[0].subject must be a text: global, or key:"),
    ("alerts: {webhook: ftp://x}", "alerts.webhook must be a URL that begins with https:// or http://"),
    ("alerts: {webhook: 'https://[x'}", "alerts.webhook must be a URL"),
    ("alerts: {secret_env: ABSENT_SECRET}", "names the variable ABSENT_SECRET in secret_env, which must hold 16 characters or more"),
    ("alerts: {secret_env: SHORT}", "names the variable SHORT in secret_env, which must hold 16 characters or more"),
    ("alerts: {secret: x}", 'unknown key "secret" of alerts (did you mean "secret_env"?)'),
    ("cache: {max_age: 0}", "cache.max_age must be a whole number from 1"),
    ("cache: {max_bytes: 10 MB}", "cache.max_bytes must be bytes, such as 1048576 or 32MiB"),
    ("cache: true", "1:8: cache must be a mapping with keys of max_age, max_bytes"),
    ("gateway: {body_limit: 0}", "gateway.body_limit must be bytes"),
    ("gateway: {metrics: everyone}", "gateway.metrics must be one of key, open, none"),
    ("gateway: {store_prompts: 'yes'}", "gateway.store_prompts must be true or false, not the text 'yes'"),
    ("gateway: {store_prompts: yes}", "gateway.store_prompts must be true or false, not the text 'yes'"),
    ("gateway: {workers: [2]}", "gateway.workers must be a whole number from 1 to 256, not a list"),
    ('gateway: {workers: "${SHORT}"}', "gateway.workers must be a whole number from 1 to 256, not '${SHORT}'"),
    ("gatway: {}", 'unknown key "gatway" (did you mean "gateway"?)'),
]


@pytest.mark.parametrize(("yaml", "said"), MISTAKES)
def test_mistakes_say_where_and_what_is_allowed(tmp_path: Path, yaml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, yaml, SHORT="short")
    assert said in str(caught.value)
    assert (caught.value.where or "").startswith(f"{tmp_path}/headgate.yaml:")
    assert caught.value.hint


def test_a_secret_that_stands_in_the_file_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"alerts: {{secret_env: {SECRET}}}")
    assert SECRET not in str(caught.value)


def test_variables_anywhere(tmp_path: Path) -> None:
    yaml = """
key: ${GATE_KEY}
gateway_port: ${PORT:-7000}
aliases: {fast: "${MODEL}"}
budgets: [{scope: global, limit_usd: "${LIMIT}"}]
gateway: {workers: "${WORKERS}", store_prompts: "${STORE}"}
"""
    found = load(tmp_path, yaml, GATE_KEY="hg-0123456789abcdefgh", MODEL="a/b:[c]", LIMIT="0.30", WORKERS="3", STORE="true")
    assert found.key is not None
    assert found.key.reveal() == "hg-0123456789abcdefgh"
    assert (found.gateway_port, found.budgets[0].limit_nanos, found.gateway.workers) == (7000, 300_000_000, 3)
    assert found.gateway.store_prompts


def test_a_variable_cannot_smuggle_more_than_a_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"aliases\.a must be a text"):
        load(tmp_path, "aliases: {a: '${M}'}", M="x/y}\nkey: stolen")


def test_sections_in_variables_are_json(tmp_path: Path) -> None:
    found = load(tmp_path, "aliases: {a: b/c}", HEADGATE_ALIASES='{"x": "y/z"}', HEADGATE_BUDGETS='[{"scope":"global","limit_usd":"2"}]')
    assert (found.aliases, found.budgets) == ({"x": "y/z"}, (BudgetSettings(scope="global", limit_nanos=2 * NANO),))
    assert found.origins["aliases"].startswith("environment HEADGATE_ALIASES")
    with pytest.raises(ConfigError, match="environment HEADGATE_LIMITS: is not JSON"):
        load(tmp_path, "", HEADGATE_LIMITS="- a")


SPINE = {
    "GENAI_ROUTING_STRATEGY": "Cost-Optimized",
    "GENAI_FALLBACK_CHAIN": "Ollama, openai,anthropic",
    "GENAI_BUDGET_DAILY": "2.50",
    "GENAI_BUDGET_MONTHLY": "40",
    "GENAI_BUDGET_ACTION": "fallback",
    "GENAI_BUDGET_WARN_DAILY": "0.8",
    "GENAI_BUDGET_WEBHOOK_URL": "https://hooks.example.org/x",
}


def test_spines_variables_become_the_same_values_with_their_origin(tmp_path: Path) -> None:
    found = load(tmp_path, "budgets: [{scope: global, limit_usd: 9, window: day}, {scope: 'key:*', limit_usd: 1}]", **SPINE)
    assert (found.routing.strategy, found.routing.fallback) == ("cost_optimized", ("ollama", "openai", "anthropic"))
    assert found.budgets == (
        BudgetSettings(scope="key:*", limit_nanos=NANO),
        BudgetSettings(scope="global", limit_nanos=2_500_000_000, window="day", action="degrade", alerts=(80, 100)),
        BudgetSettings(scope="global", limit_nanos=40 * NANO, window="month", action="degrade"),
    )
    assert found.alerts.webhook is not None
    assert found.origins["routing.strategy"] == "environment GENAI_ROUTING_STRATEGY"
    assert found.origins["budgets[1].limit_usd"] == "environment GENAI_BUDGET_DAILY"
    assert found.origins["budgets[1].action"] == "environment GENAI_BUDGET_ACTION"
    assert found.origins["alerts.webhook"] == "environment GENAI_BUDGET_WEBHOOK_URL"


def test_headgates_own_names_go_before_spines(tmp_path: Path) -> None:
    found = load(tmp_path, "routing: {strategy: speed}", HEADGATE_ROUTING_STRATEGY="simple-shuffle", GENAI_ROUTING_STRATEGY="quality")
    assert found.routing.strategy == "weighted"
    assert load(tmp_path, "routing: {strategy: speed}").routing.strategy == "speed"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GENAI_BUDGET_DAILY", "a lot", "environment GENAI_BUDGET_DAILY: budgets[0].limit_usd must be dollars"),
        ("GENAI_BUDGET_DAILY", "-1", "environment GENAI_BUDGET_DAILY"),
        ("GENAI_BUDGET_ACTION", "explode", "environment GENAI_BUDGET_ACTION: must be one of warn, block, fallback"),
        ("GENAI_BUDGET_WARN_MONTHLY", "80", "environment GENAI_BUDGET_WARN_MONTHLY: must be a share"),
        ("GENAI_BUDGET_WARN_MONTHLY", "nan", "environment GENAI_BUDGET_WARN_MONTHLY: must be a share"),
        ("GENAI_ROUTING_STRATEGY", "luck", "environment GENAI_ROUTING_STRATEGY: routing.strategy must be one of"),
        ("GENAI_FALLBACK_CHAIN", "a,a", "environment GENAI_FALLBACK_CHAIN: routing.fallback has a twice"),
        ("GENAI_BUDGET_WEBHOOK_URL", "mailto:x", "environment GENAI_BUDGET_WEBHOOK_URL"),
    ],
)
def test_mistakes_in_spines_variables(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "", **{"GENAI_BUDGET_MONTHLY": "5", name: value})
    assert said in str(caught.value)
