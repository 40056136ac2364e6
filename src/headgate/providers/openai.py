"""OpenAI (API reference: Chat Completions, Files, Batch)."""

from headgate.dialects import batch_openai_files, counting, embed_openai, openai_chat, openai_completions, openai_responses
from headgate.providers.base import Auth, Provider

_PROMPTED = ("gpt-3.5-turbo-instruct", "davinci", "babbage")


def serves(wire: str, model: str) -> bool:
    """Completions are for the models that are not for conversations, which are served on nothing else."""
    return (wire == openai_completions.DIALECT.name) == model.startswith(_PROMPTED)


PROVIDER = Provider(
    name="openai",
    label="OpenAI",
    base_url="https://api.openai.com/v1",
    chat=openai_chat.DIALECT,
    surfaces=(openai_responses.DIALECT, openai_completions.DIALECT),
    serves=serves,
    count=counting.OPENAI,
    embed=embed_openai.DIALECT,
    batch=batch_openai_files.DIALECT,
    batch_endpoint="/v1/chat/completions",
    auth=Auth(header="authorization", prefix="Bearer ", env=("OPENAI_API_KEY", "GENAI_OPENAI_API_KEY"), shape="sk-"),
    default_model="gpt-4o-mini",
)
