"""The only package that opens a client socket: an HTTP/1.1 client, a driver for flows, retry decisions."""
