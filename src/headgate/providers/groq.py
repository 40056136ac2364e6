"""Groq (API reference: OpenAI compatibility, Batch)."""

from headgate.dialects import openai_chat
from headgate.dialects.batch_flavours import BATCH_GROQ
from headgate.providers.base import Auth, Provider
from headgate.providers.quirks import with_quirks

PROVIDER = Provider(
    name="groq",
    label="Groq",
    base_url="https://api.groq.com/openai/v1",
    chat=with_quirks(openai_chat.DIALECT, ("no_platform_fields", "no_logprobs")),
    batch=BATCH_GROQ,
    batch_endpoint="/v1/chat/completions",
    max_age=8 * 24 * 3600.0,
    auth=Auth(header="authorization", prefix="Bearer ", env=("GROQ_API_KEY", "GENAI_GROQ_API_KEY"), shape="gsk_"),
    default_model="openai/gpt-oss-20b",
)
