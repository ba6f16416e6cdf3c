"""One claim of the field a file: what it says, whose it is, and what would refute it stand in its
docstring.
"""
