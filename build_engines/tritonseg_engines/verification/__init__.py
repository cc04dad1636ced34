"""Whether what is served is what passed its gate: receipts, canaries, and asking by them."""
