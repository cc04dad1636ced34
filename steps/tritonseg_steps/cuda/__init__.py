"""The argmax step on an NVIDIA GPU: scores go up, class maps come down as bytes.

`kernels.cu` computes what `tritonseg_steps.kernels` computes, and `device` is the only module that
knows CuPy. Scores come from the host, because what Triton hands over on a GPU may be another
request's: docs/architecture.md, "Argmax on the GPU".
"""
