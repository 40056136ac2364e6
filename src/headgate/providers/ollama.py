"""Ollama, a server of open models on one's own machine (API reference: "Generate a chat completion").

A server answers without a key; one behind a proxy or Ollama's own cloud takes a bearer token.
"""

from headgate.dialects import embed_ollama, ollama_chat
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="ollama",
    label="Ollama",
    base_url="http://localhost:11434",
    url_env=("OLLAMA_URL", "GENAI_OLLAMA_URL", "OLLAMA_HOST"),
    chat=ollama_chat.DIALECT,
    embed=embed_ollama.DIALECT,
    auth=Auth(header="authorization", prefix="Bearer ", env=("OLLAMA_API_KEY",), optional=True),
    allow_private=True,
    default_model="llama3.2:latest",
)
