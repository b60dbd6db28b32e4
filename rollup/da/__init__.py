"""Alternative data availability: its REST API, an embedded store, and the challenges on L1."""
