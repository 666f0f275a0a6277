"""Networks: architectures, training, and their files for Keras and ONNX Runtime.

Imports `features` and all below it.
"""
