"""An item of a view as a Python object, for errors and types without a native path; what an object is, what a mapping holds."""
from cpython.object cimport PyObject

from twolane.encoding.columns.array_view cimport ArrayView


# Without the GIL another thread may change a dict or a list of the caller's between any two instructions: borrowed references
# out of them would dangle.
cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define TWOLANE_NO_GIL 1
    #else
    #define TWOLANE_NO_GIL 0
    #endif

    static inline PyObject* twolane_item_of(PyObject* fields, PyObject* name, PyObject* absent) {
        PyObject* found;
    #if PY_VERSION_HEX >= 0x030d0000
        if (PyDict_GetItemRef(fields, name, &found) < 0) return NULL;
        if (found != NULL) return found;
    #else
        found = PyDict_GetItemWithError(fields, name);
        if (found != NULL) return Py_NewRef(found);
        if (PyErr_Occurred()) return NULL;
    #endif
        return Py_NewRef(absent);
    }
    """
    const bint NO_GIL "TWOLANE_NO_GIL"      # a constant: what it guards is not compiled with the GIL
    object item_of "twolane_item_of"(PyObject* fields, PyObject* name, PyObject* absent)


cpdef list entries_of(object mapping)
cdef str type_name(const ArrayView* view)
cdef object object_at(const ArrayView* view, Py_ssize_t i)
cdef bint is_integer(object value) except -1
cdef bytes bytes_of(object value)
cpdef bint is_missing(object value) except -1
cpdef bint is_missing_or_nan(object value) except -1
cdef bint has_zone(const ArrayView* view) except -1
cdef object ahead_of(const ArrayView* view)
cdef bint turn_to_wall(ArrayView* view, list keep) except -1
cdef int narrow(ArrayView* view, list kept) except -1
