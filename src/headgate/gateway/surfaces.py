"""The surfaces of the gateway: whose wire a group of routes speaks, and in which envelope its errors come."""

from __future__ import annotations

from headgate.dialects import anthropic_messages, gemini_generate, openai_chat, openai_completions, openai_responses
from headgate.serving.envelopes import Surface, anthropic_envelope, gemini_envelope, openai_envelope

OPENAI = Surface("openai", openai_envelope, openai_chat.DIALECT)
COMPLETIONS = Surface("openai", openai_envelope, openai_completions.DIALECT)
RESPONSES = Surface("openai_responses", openai_envelope, openai_responses.DIALECT)
ANTHROPIC = Surface("anthropic", anthropic_envelope, anthropic_messages.DIALECT)
GEMINI = Surface("gemini", gemini_envelope, gemini_generate.DIALECT, key_in_query="key")
