# Nothing for Python: the functions of this module are called from C.
