"""`make gpu-check`: the published models as TensorRT plans on this machine's GPU.

Every model in every precision is exported, converted, built, compared with ONNX Runtime's fp32
masks, and timed; the table goes into a Markdown page. Needs the extra `export`, NVIDIA's
`tensorrt` and CuPy.
"""
