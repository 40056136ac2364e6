"""What a conversation is, whatever wire it travels on. Values only; nothing here knows a provider."""
