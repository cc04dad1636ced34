"""What is done to an ONNX graph on its way into an engine; one module per change."""
