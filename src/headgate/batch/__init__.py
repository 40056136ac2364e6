"""Durable runs: pipelines, units, expressions, templates, validation, and the engine that drives them."""
