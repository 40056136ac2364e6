"""Frames without sockets: HTTP values, flows, JSON, server-sent events, NDJSON, multipart. Pure."""
