"""One file a source of bars, and the registry that names them.

Imports what `volcast.bars` may import.
"""
