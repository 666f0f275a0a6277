"""How fast this trains beside plain Keras and PyTorch. Not part of what is installed."""
