"""The provider simulator: one process that speaks the OpenAI, Anthropic and Gemini wires on real sockets.

It shares no wire code with the dialects: its shapes come from recorded traffic and the public API references, so that the product
and the simulator cannot be wrong together unnoticed. `server.Simulator` runs it, `settings.SimSettings` configures it.
"""
