"""Why somebody is paid for an answer: its sources, its influences, the money and its state."""
