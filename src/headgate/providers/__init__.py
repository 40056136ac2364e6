"""Every provider this package knows, by name. To add one: a file beside these, and its record in this tuple."""

from headgate.providers import anthropic, gemini, openai, sim
from headgate.providers.base import PROVIDER_API, Auth, Polling, Provider

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        openai.PROVIDER,
        anthropic.PROVIDER,
        gemini.PROVIDER,
        sim.OPENAI,
        sim.ANTHROPIC,
        sim.GEMINI,
    )
}

__all__ = ["PROVIDERS", "PROVIDER_API", "Auth", "Polling", "Provider"]
