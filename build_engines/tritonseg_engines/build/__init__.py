"""From an ONNX file to a model in a Triton repository, or a refusal; begin at `model.py`."""
