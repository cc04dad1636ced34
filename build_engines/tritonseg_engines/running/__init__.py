"""Running any graph as it will be served, with the server's own steps around it."""
