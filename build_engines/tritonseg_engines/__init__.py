"""What runs at build time: the zoo, ONNX export, graph surgery, engines, the model repository."""
