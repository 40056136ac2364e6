"""The names of this wire."""

from __future__ import annotations

NAME = "openai_completions"
PATH = "/completions"
OBJECT = "text_completion"
