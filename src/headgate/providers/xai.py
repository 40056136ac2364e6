"""xAI, which serves the Grok models (API reference: Chat Completions, Responses, Batch)."""

from headgate.dialects import openai_chat
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="xai",
    label="xAI",
    base_url="https://api.x.ai/v1",
    chat=openai_chat.DIALECT,
    auth=Auth(header="authorization", prefix="Bearer ", env=("XAI_API_KEY", "GROK_API_KEY"), shape="xai-"),
    default_model="grok-4.3",
)
