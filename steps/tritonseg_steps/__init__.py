"""What runs inside the Triton server: normalize, the CPU engine, argmax.

The modules without `_step` in their name are plain array code and import anywhere; those with it
run in Triton's Python backend.
"""
