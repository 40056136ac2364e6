"""The built-in simulator, under a name of its own for each wire, so that no simulated dollar mixes with a real one."""

from msgspec.structs import replace

from headgate.providers import anthropic, azure_openai, bedrock, gemini, groq, ollama, openai, together, vertex, xai
from headgate.providers.base import Polling, Provider, Variable

_VARIABLES = {"batch_bucket": "s3://sim-bucket/jobs", "batch_role": "arn:aws:iam::000000000000:role/batch"}
DEFAULT_URL = "http://127.0.0.1:6199"


def _value(variable: Variable) -> str:
    return variable.default or _VARIABLES.get(variable.name, "sim")


def simulated(real: Provider, base_path: str, *, key: str = "sim-headgate", hosts: tuple[tuple[str, str], ...] = ()) -> Provider:
    """`real`'s wire, spoken to the simulator with the well-known `key`; `hosts` are the paths of its further hosts there."""
    return replace(
        real,
        name=f"sim-{real.name}",
        label=f"Simulator ({real.label} wire)",
        base_url=DEFAULT_URL + base_path,
        base_url_env="HEADGATE_SIM_URL",
        base_path=base_path,
        auth=replace(real.auth, env=("HEADGATE_SIM_KEY",), parts=(), shape="sim-", default=key),
        url_env=(),
        hosts=hosts,
        variables=tuple(
            replace(variable, env=(), default=variable.default or _VARIABLES.get(variable.name, "sim")) for variable in real.variables
        ),
        polling=Polling(first=0.1, longest=2.0),
        default_model="sim-small",
        allow_private=True,
        simulated=True,
    )


OPENAI = simulated(openai.PROVIDER, "/openai/v1")
ANTHROPIC = simulated(anthropic.PROVIDER, "/anthropic")
GEMINI = simulated(gemini.PROVIDER, "/gemini")
XAI = simulated(xai.PROVIDER, "/xai/v1")
OLLAMA = simulated(ollama.PROVIDER, "/ollama")
BEDROCK = simulated(bedrock.PROVIDER, "/bedrock", key="AKIASIMHEADGATE0000:sim-secret-key", hosts=(("control", "/bedrock"), ("s3", "/s3")))
GROQ = simulated(groq.PROVIDER, "/groq/openai/v1")
TOGETHER = simulated(together.PROVIDER, "/together/v1")
AZURE = simulated(azure_openai.PROVIDER, "/azure")
VERTEX = simulated(vertex.PROVIDER, "/vertex")
