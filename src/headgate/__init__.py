"""Headgate: every LLM call through one gate."""

__version__ = "0.1.0"
