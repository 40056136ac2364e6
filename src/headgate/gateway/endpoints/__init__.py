"""The gateway's endpoints: ``async (Request) -> Response | Stream``."""
