"""One call to one target: a provider, a model and a credential. No routing, no fallback, no money here."""

from headgate.client.batches import BatchClient
from headgate.client.chat import ChatClient, Exchange, StreamSession
from headgate.client.embeddings import EmbedClient, EmbedExchange, EmbedSession
from headgate.client.target import Credential, Target, filled, make_origin
from headgate.client.tokens import Token, TokenSource

__all__ = [
    "BatchClient",
    "ChatClient",
    "Credential",
    "EmbedClient",
    "EmbedExchange",
    "EmbedSession",
    "Exchange",
    "StreamSession",
    "Target",
    "Token",
    "TokenSource",
    "filled",
    "make_origin",
]
