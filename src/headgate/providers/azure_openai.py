"""Azure OpenAI (API reference: data plane inference, deployments). A model is the name of a deployment."""

from collections.abc import Mapping
from urllib.parse import quote

from headgate.dialects import embed_openai, openai_chat, openai_responses
from headgate.dialects.batch_flavours import BATCH_AZURE
from headgate.providers.base import Auth, Provider, Variable

_PER_DEPLOYMENT = ("/chat/completions", "/completions", "/embeddings")


def route(path: str, model: str, variables: Mapping[str, str]) -> str:
    """Chat and embeddings lie under their deployment, all else beside it; every call names the version of the API."""
    plain, _, query = path.partition("?")
    version = f"api-version={quote(variables['api_version'], safe='')}"
    place = f"/deployments/{quote(model, safe='')}{plain}" if plain in _PER_DEPLOYMENT else plain
    return f"/openai{place}?{query + '&' if query else ''}{version}"


PROVIDER = Provider(
    name="azure_openai",
    label="Azure OpenAI",
    base_url="https://{resource}.openai.azure.com",
    url_env=("AZURE_OPENAI_ENDPOINT",),
    variables=(
        Variable(name="resource", env=("AZURE_OPENAI_RESOURCE",), example="my-resource"),
        Variable(name="api_version", env=("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"), default="2025-04-01-preview"),
    ),
    chat=openai_chat.DIALECT,
    surfaces=(openai_responses.DIALECT,),
    embed=embed_openai.DIALECT,
    route=route,
    batch=BATCH_AZURE,
    batch_endpoint="/chat/completions",
    max_age=8 * 24 * 3600.0,
    auth=Auth(header="api-key", env=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY")),
)
