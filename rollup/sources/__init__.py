"""Typed clients of L1 and of an execution engine over JSON-RPC."""
