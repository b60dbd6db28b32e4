"""Seeded bugs of the contracts, and the proof that the tests notice each."""
