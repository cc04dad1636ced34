from tritonseg_steps.argmax_step import ArgmaxStep as TritonPythonModel

__all__ = ["TritonPythonModel"]
