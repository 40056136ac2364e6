"""What an operator sees: counts, spans and log lines. Never a prompt, an answer or a key (faults J1, J3, J6)."""
