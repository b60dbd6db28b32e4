"""The embedded execution engine: a plain EVM chain in its own process, driven over JSON-RPC."""
