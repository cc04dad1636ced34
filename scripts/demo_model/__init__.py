"""The demo model that ships: its streets, its training, its export."""
