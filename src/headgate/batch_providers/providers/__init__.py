"""The built-in provider classes under the paths that some code imports them by: ``providers.openai_provider`` and its like."""
