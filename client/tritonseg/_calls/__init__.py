"""What a call does, step by step, without any I/O."""
