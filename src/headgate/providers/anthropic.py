"""Anthropic (API reference: Messages, Message Batches)."""

from headgate.dialects import anthropic_messages, batch_anthropic, counting
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="anthropic",
    label="Anthropic",
    base_url="https://api.anthropic.com",
    chat=anthropic_messages.DIALECT,
    count=counting.ANTHROPIC,
    batch=batch_anthropic.DIALECT,
    batch_endpoint="/v1/messages",
    auth=Auth(header="x-api-key", env=("ANTHROPIC_API_KEY", "GENAI_ANTHROPIC_API_KEY"), shape="sk-ant-"),
    headers=(("anthropic-version", "2023-06-01"),),
    default_model="claude-sonnet-4-5",
)
