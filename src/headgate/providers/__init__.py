"""Every provider this package knows, by name. To add one: a file beside these, and its record in this tuple."""

from headgate.providers import anthropic, azure_openai, bedrock, gemini, groq, ollama, openai, sim, together, vertex, xai
from headgate.providers.base import PROVIDER_API, Auth, Polling, Provider, Variable

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        openai.PROVIDER,
        anthropic.PROVIDER,
        gemini.PROVIDER,
        xai.PROVIDER,
        ollama.PROVIDER,
        bedrock.PROVIDER,
        groq.PROVIDER,
        together.PROVIDER,
        azure_openai.PROVIDER,
        vertex.PROVIDER,
        sim.OPENAI,
        sim.ANTHROPIC,
        sim.GEMINI,
        sim.XAI,
        sim.OLLAMA,
        sim.BEDROCK,
        sim.GROQ,
        sim.TOGETHER,
        sim.AZURE,
        sim.VERTEX,
    )
}

__all__ = ["PROVIDERS", "PROVIDER_API", "Auth", "Polling", "Provider", "Variable"]
