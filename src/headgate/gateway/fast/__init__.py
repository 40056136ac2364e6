"""The ordinary chat request answered from within the protocol: same wire on both sides, bytes passed on, no task, no copy of the body.

It does what the endpoints of `gateway.endpoints` do, with the same parts and the same errands; whatever is out of the ordinary is left to
them, before anything was sent or as what follows a failed visit.
"""
