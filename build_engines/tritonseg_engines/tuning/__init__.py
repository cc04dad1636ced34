"""Which configuration of a built model serves most pictures within the latency one may spend."""
