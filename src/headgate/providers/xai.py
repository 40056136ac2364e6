"""xAI, which serves the Grok models (API reference: Chat Completions, Responses, Batch)."""

from headgate.dialects import batch_xai, openai_chat, openai_responses
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="xai",
    label="xAI",
    base_url="https://api.x.ai/v1",
    chat=openai_chat.DIALECT,
    surfaces=(openai_responses.DIALECT,),
    batch=batch_xai.DIALECT,
    batch_endpoint="/v1/chat/completions",
    auth=Auth(header="authorization", prefix="Bearer ", env=("XAI_API_KEY", "GROK_API_KEY"), shape="xai-"),
    default_model="grok-4.3",
)
