def peek(path):
    """Geometry and embedder fingerprint of a cache file, without opening it.

    `recovering`: how far a recovery under way is, 0.0 to 1.0; None when there is none.
    """
    cdef sc_options o
    cdef char why[512]
    cdef char fingerprint[SC_FINGERPRINT]
    cdef bytes raw = os.fsencode(path)
    memset(why, 0, sizeof(why))
    cdef int recovering = -1
    cdef int rc = sc_peek(raw, &o, fingerprint, &recovering, why, sizeof(why))
    cdef int error = errno
    if rc != SC_OK:
        raise_for(rc, (<bytes>why).decode("utf-8", "replace"), error)
    return described(&o, fingerprint) | {"recovering": None if recovering < 0 else recovering / 1000}


cdef dict described(const sc_options *o, const char *fingerprint):
    return {"dim": o.dim, "max_entries": o.max_entries, "max_bytes": o.max_bytes, "storage": STORAGES[o.storage],
            "fingerprint": (<bytes>fingerprint).decode("utf-8", "replace"),
            "prefix": (o.prefix_blocks, o.prefix_block, o.prefix_group, o.prefix_hash, o.prefix_seed)}
