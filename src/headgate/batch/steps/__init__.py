"""The phases of a chunk, one module per lane. They are safe to repeat, and they return verdicts instead of raising."""
