"""The whole way on one machine: a shipped model, a real Triton, a picture, an overlay."""
