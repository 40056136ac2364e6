"""What HTTP faces share: requests and responses as values, routes with their policy, keys, error envelopes, receipts, and the server."""
