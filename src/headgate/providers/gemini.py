"""Google Gemini API (API reference: models.generateContent, batches, files)."""

from headgate.dialects import batch_gemini, counting, embed_gemini, gemini_generate
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="gemini",
    label="Google Gemini",
    base_url="https://generativelanguage.googleapis.com",
    chat=gemini_generate.DIALECT,
    embed=embed_gemini.DIALECT,
    count=counting.GEMINI,
    batch=batch_gemini.DIALECT,
    batch_endpoint="/v1beta/models/{model}:generateContent",
    auth=Auth(header="x-goog-api-key", env=("GOOGLE_API_KEY", "GEMINI_API_KEY"), shape="AIza"),
    max_age=50 * 3600.0,
    default_model="gemini-3.5-flash-lite",
)
