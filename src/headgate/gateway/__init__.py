"""The gateway: OpenAI's and Anthropic's chat surfaces over every provider."""
