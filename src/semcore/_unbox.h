/* Token ids out of a list of ints, without a call for each. */
#ifndef SEMCORE_UNBOX_H
#define SEMCORE_UNBOX_H

#include <Python.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define UNBOX_FETCH(p) __builtin_prefetch(p)
#else
#define UNBOX_FETCH(p) ((void)(p))
#endif

/* One of up to 30 bits; others go through the slow path. */
static inline int unbox_small(PyObject *o, uint32_t *out) {
    if (Py_TYPE(o) != &PyLong_Type) return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)o)) return 0;
    Py_ssize_t value = PyUnstable_Long_CompactValue((PyLongObject *)o);
    *out = (uint32_t)value;
    return value >= 0;
#else
    Py_ssize_t size = Py_SIZE(o);
    *out = size ? ((PyLongObject *)o)->ob_digit[0] : 0;
    return size == 0 || size == 1;
#endif
}

/* Fills out; returns how many it could take: less than the list has where one is no token id. */
static Py_ssize_t unbox_list(PyObject *list, uint32_t *out) {
    Py_ssize_t n = PyList_GET_SIZE(list);
    PyObject **items = ((PyListObject *)list)->ob_item;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (i + 16 < n) UNBOX_FETCH(items[i + 16]);
        if (unbox_small(items[i], out + i)) continue;
        if (!PyLong_Check(items[i]) || PyBool_Check(items[i])) return i;
        unsigned long long value = PyLong_AsUnsignedLongLong(items[i]);
        if (PyErr_Occurred() || value > UINT32_MAX) {
            PyErr_Clear();
            return i;
        }
        out[i] = (uint32_t)value;
    }
    return n;
}

#endif
