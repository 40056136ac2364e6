"""Together AI (API reference: Chat, Embeddings, Batch)."""

from headgate.dialects import embed_openai, openai_chat, openai_completions
from headgate.dialects.batch_flavours import BATCH_TOGETHER
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="together",
    label="Together AI",
    base_url="https://api.together.xyz/v1",
    chat=openai_chat.DIALECT,
    surfaces=(openai_completions.DIALECT,),
    embed=embed_openai.DIALECT,
    batch=BATCH_TOGETHER,
    batch_endpoint="/v1/chat/completions",
    auth=Auth(header="authorization", prefix="Bearer ", env=("TOGETHER_API_KEY", "GENAI_TOGETHER_API_KEY")),
    default_model="Qwen/Qwen3.5-9B",
)
