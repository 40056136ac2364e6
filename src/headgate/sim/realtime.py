"""The providers beyond the first three, whose wires are registered here."""

from __future__ import annotations

from headgate.sim import azure, bedrock, groq, ollama, together, vertex, xai

WIRES = (groq.WIRE, together.WIRE, xai.WIRE, azure.WIRE, vertex.WIRE, ollama.WIRE, bedrock.WIRE)
