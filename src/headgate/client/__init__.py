"""One call to one target: a provider, a model and a credential. No routing, no fallback, no money here."""

from headgate.client.batches import BatchClient
from headgate.client.chat import ChatClient, Exchange, StreamSession
from headgate.client.target import Credential, Target, make_origin

__all__ = ["BatchClient", "ChatClient", "Credential", "Exchange", "StreamSession", "Target", "make_origin"]
