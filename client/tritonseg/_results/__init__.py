"""What one picture came to, and the forms in which that is handed on."""
