"""The batch checks of the suite for every batch wire, with records that are made here."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from headgate.dialects import batch_bedrock, batch_gemini, batch_xai, bedrock_converse
from headgate.dialects.batch_flavours import BATCH_AZURE, BATCH_GROQ, BATCH_TOGETHER
from headgate.providers import Provider, azure_openai, gemini, groq, together, xai
from headgate.providers.base import Auth, Variable
from headgate.providers.sim import simulated
from headgate.testing.conformance import batch_cases, batches
from headgate.testing.conformance.case import Entry, Subject

CHAT = "/v1/chat/completions"


def made(real: Provider, path: str, **batch: object) -> Provider:
    return simulated(replace(real, **batch), path)


BEDROCK = Provider(
    name="bedrock",
    label="Amazon Bedrock",
    base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
    chat=bedrock_converse.DIALECT,
    auth=Auth(header="authorization", prefix="Bearer ", env=("AWS_BEARER_TOKEN_BEDROCK",)),
    batch=batch_bedrock.DIALECT,
    batch_endpoint="/model/{model}/converse",
    variables=(
        Variable(name="batch_bucket", default="s3://sim-bucket/jobs"),
        Variable(name="batch_role", default="arn:aws:iam::000000000000:role/batch"),
    ),
)

PROVIDERS = {
    "bedrock": simulated(BEDROCK, "/bedrock", hosts=(("control", "/bedrock"), ("s3", "/s3"))),
    "groq": made(groq.PROVIDER, "/groq/openai/v1", batch=BATCH_GROQ, batch_endpoint=CHAT),
    "azure": made(azure_openai.PROVIDER, "/azure", batch=BATCH_AZURE, batch_endpoint="/chat/completions"),
    "together": made(together.PROVIDER, "/together/v1", batch=BATCH_TOGETHER, batch_endpoint=CHAT),
    "xai": made(xai.PROVIDER, "/xai/v1", batch=batch_xai.DIALECT, batch_endpoint=CHAT),
    "xai-file": made(xai.PROVIDER, "/xai/v1", batch=batch_xai.BY_FILE, batch_endpoint=CHAT),
    "gemini-inline": made(gemini.PROVIDER, "/gemini", batch=batch_gemini.INLINE),
}


@pytest.mark.parametrize("entry", (*batches.ENTRIES, *batch_cases.ENTRIES), ids=lambda entry: entry.name)
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_batch_wire_keeps_the_contract(name: str, entry: Entry) -> None:
    entry.check(Subject(PROVIDERS[name]))
