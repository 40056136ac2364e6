"""Providers that speak OpenAI's batch envelope with differences, as data.

* Groq: chat completions alone, windows from a day to a week (Groq API reference; recorded traffic).
* Azure: the model is a deployment, rows name ``/chat/completions``; the provider's route adds ``api-version`` (Azure REST reference).
* Together: files go to ``/files/upload`` with the purpose ``batch-api``, lines have no url, the created job lies under ``job``, words are
  in capitals, progress is a percentage, and no job carries metadata: it is found by the name of its input file (Together API reference).
"""

from __future__ import annotations

from headgate.dialects.batch_openai_files import Flavour, files_dialect
from headgate.dialects.batch_tables import AZURE, GROQ, TOGETHER

BATCH_GROQ = files_dialect(Flavour(facts=GROQ))
BATCH_AZURE = files_dialect(Flavour(facts=AZURE))
BATCH_TOGETHER = files_dialect(
    Flavour(facts=TOGETHER, purpose="batch-api", upload_path="/files/upload", named_form=True, bare_lines=True, metadata=False)
)
