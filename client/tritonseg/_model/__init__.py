"""What a server says about its model."""
