# Numbers in, errors out.

cdef float floor_of(double threshold) noexcept:
    """The least float that is not below the threshold: similarities are floats."""
    cdef float f = <float>threshold
    return f if f >= threshold else <float>np.nextafter(np.float32(f), np.float32(2))


cdef cnp.ndarray to_float32(object v):
    try:
        a = np.asarray(v)
        if a.dtype.kind not in "fiu":
            raise TypeError(f"dtype {a.dtype}")
        with np.errstate(over="ignore"):
            return np.array(a, dtype=np.float32, order="C")  # a copy: aligned too
    except (TypeError, ValueError) as error:
        raise ValueError(f"vector: expected real numbers, got {error}") from error


cdef bint removed(int rc) except -1:
    """Was something there to remove?"""
    if rc != SC_OK and rc != SC_ENOTFOUND:
        raise_for(rc, "")
    return rc == SC_OK


cdef int raise_lost(object path) except -1:
    raise RegionError(f"{path} was truncated, or its disk failed or filled up, while it was open: "
                      "close this cache and open the path anew")


cdef int raise_for(int rc, str why, int error=0) except -1:
    if rc == SC_ETOOBIG:
        raise CapacityError(why)
    if rc == SC_EARG:
        raise ConfigError(why)
    if rc == SC_ENOMEM:
        raise MemoryError(why or "out of memory")
    if rc == SC_EUNSUPPORTED:
        raise ConfigError(why)
    if rc == SC_EIO:
        raise OSError(error, why) if error else OSError(why)  # the subclass follows from errno
    raise RegionError(why or f"the region is damaged (code {rc})")
