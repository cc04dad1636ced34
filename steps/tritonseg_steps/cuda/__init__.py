"""The two steps on an NVIDIA GPU: the network's input and scores never leave its memory.

A picture goes up as bytes and a class map comes down as bytes, nothing else. `kernels.cu` computes
what `tritonseg_steps.kernels` computes, and `device` is the only module that knows CuPy.

Resizing stays on the CPU: the network must see what OpenCV's fixed-point arithmetic makes of a
picture on every server, and a second resize of our own would have to be proven equal to it.
"""
