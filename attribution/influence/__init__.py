"""Influence: which examples moved an adapter toward an answer, as small exact integers."""
