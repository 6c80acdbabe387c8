# Texts, contexts and values as bytes, and back.

cdef struct Bytes:
    const char *at
    Py_ssize_t size
    uint8_t kind


# The bytes of a text; the object returned keeps them alive.
cdef object view_text(object text, Bytes *out, str name):
    cdef Py_ssize_t size = 0
    if isinstance(text, str):
        out.kind = SC_TEXT_STR
        try:
            out.at = PyUnicode_AsUTF8AndSize(text, &size)
            out.size = size
            return text
        except UnicodeEncodeError:  # lone surrogates
            text = (<str>text).encode("utf-8", "surrogatepass")
    elif isinstance(text, bytes):
        out.kind = SC_TEXT_BYTES
    else:
        raise TypeError(f"{name}: expected str or bytes, got {type(text).__name__}")
    out.at = PyBytes_AS_STRING(text)
    out.size = PyBytes_GET_SIZE(text)
    return text


# None, str, bytes, or anything that msgpack can hold, mappings in the order of their keys.
cdef bytes pack_context(object context):
    if isinstance(context, bytes):
        return b"b" + <bytes>context
    if isinstance(context, str):
        return b"s" + (<str>context).encode("utf-8", "surrogatepass")
    try:
        return b"m" + msgpack.packb(in_order(context, 0), unicode_errors="surrogatepass")
    except (TypeError, OverflowError, ValueError) as error:
        raise TypeError(f"context: {error}") from error


def packed_context(context):
    """A context as bytes: equal ones are the same context."""
    return pack_context(context)


cdef object in_order(object o, int depth):
    if depth > 100:
        raise ValueError("nested more than 100 deep")
    if isinstance(o, dict):
        return {k: in_order(v, depth + 1) for k, v in sorted(o.items())}
    if isinstance(o, (list, tuple)):
        return [in_order(v, depth + 1) for v in o]
    return o


cdef object pack_value(object value, uint8_t *kind):
    if isinstance(value, str):
        kind[0] = VALUE_ASCII if PyUnicode_IS_ASCII(value) else VALUE_STR
        return (<str>value).encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        kind[0] = VALUE_BYTES
        return value
    kind[0] = VALUE_PACKED
    try:
        packed = msgpack.packb(value, unicode_errors="surrogatepass")
        unpack_any(packed)  # a map with a list for a key packs, and never comes back
        return packed
    except (TypeError, OverflowError, ValueError) as error:
        raise TypeError(f"value: {error}; give str, bytes or what msgpack can hold") from error


cdef object unpack_any(bytes packed):
    return msgpack.unpackb(packed, strict_map_key=False, unicode_errors="surrogatepass")


cdef object unpack(const char *at, Py_ssize_t size, uint8_t kind):
    if kind == VALUE_STR or kind == VALUE_ASCII:
        return PyUnicode_DecodeUTF8(at, size, "surrogatepass")
    if kind == VALUE_BYTES:
        return PyBytes_FromStringAndSize(at, size)
    return unpack_any(PyBytes_FromStringAndSize(at, size))
