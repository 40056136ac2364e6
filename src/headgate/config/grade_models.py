"""Models for "high", "medium" and "low" by environment variables, provider by provider (PAS-04)."""

from __future__ import annotations

from headgate.config.environment import Environment

GRADES = ("high", "medium", "low")
PREFIXES = {"openai": "OPENAI", "anthropic": "ANTHROPIC", "gemini": "GEMINI", "xai": "GROK"}
"""What the variables of a provider begin with."""


def grade_variable(provider: str, grade: str) -> str:
    """The variable that names the model of a grade, such as ``ANTHROPIC_MODEL_NAME_HIGH``."""
    return f"{PREFIXES[provider]}_MODEL_NAME_{grade.upper()}"


def grade_models(environment: Environment) -> dict[str, dict[str, str]]:
    """Provider, grade, model: as far as variables say."""
    found: dict[str, dict[str, str]] = {}
    for provider in PREFIXES:
        for grade in GRADES:
            named = environment.get(grade_variable(provider, grade))
            if named is not None:
                found.setdefault(provider, {})[grade] = named.value.strip()
    return found
