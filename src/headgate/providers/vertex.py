"""Gemini on Google Cloud's Vertex AI (API reference: publishers.models.generateContent). The key is a short-lived access token."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from headgate.dialects import counting, embed_vertex, gemini_generate
from headgate.providers.base import Auth, Provider, Variable

_OF_A_MODEL = re.compile(r"/v[0-9][a-z0-9]*/(?:projects/[^/]+/locations/[^/]+/publishers/[^/]+/)?models/")


def route(path: str, model: str, variables: Mapping[str, str]) -> str:
    """A model lies under its publisher, project and location."""
    project, location = quote(variables["project"], safe=""), quote(variables["location"], safe="")
    return _OF_A_MODEL.sub(f"/v1beta1/projects/{project}/locations/{location}/publishers/google/models/", path, count=1)


PROVIDER = Provider(
    name="vertex",
    label="Google Vertex AI",
    base_url="https://{location}-aiplatform.googleapis.com",
    variables=(
        Variable(name="project", env=("GOOGLE_CLOUD_PROJECT", "GEMINI_PROJECT_ID", "VERTEXAI_PROJECT"), example="my-project"),
        Variable(name="location", env=("GOOGLE_CLOUD_LOCATION", "VERTEXAI_LOCATION"), default="us-central1"),
    ),
    chat=gemini_generate.DIALECT,
    count=counting.VERTEX,
    embed=embed_vertex.DIALECT,
    route=route,
    auth=Auth(header="authorization", prefix="Bearer ", env=("VERTEX_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"), shape="ya29."),
    default_model="gemini-3.5-flash-lite",
)
