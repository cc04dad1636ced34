"""Large pictures in tiles, and the maps that grow of them."""
