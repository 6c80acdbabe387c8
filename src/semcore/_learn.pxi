# What the background learner asks of an engine: learner.py.


def learning(Engine engine):
    """LEARNT, STALE (rows are left to recode) or UNLEARNT (there is something to learn)."""
    engine.enter()
    try:
        return sc_learning(engine.c)
    finally:
        engine.leave(1)


def sample(Engine engine, uint32_t rows):
    """The stored vectors of up to so many live entries, evenly spread, (n, dim) float32."""
    cdef uint32_t n
    cdef float *to
    out = np.empty((rows, engine.dim), dtype=np.float32)
    to = <float *>cnp.PyArray_DATA(<cnp.ndarray>out)
    engine.enter()
    try:
        with nogil:
            n = sc_sample(engine.c, rows, to)
        return out[:n]
    finally:
        engine.leave(1)


def generation(Engine engine):
    """Of the newest model."""
    engine.enter()
    try:
        return sc_generation(engine.c)
    finally:
        engine.leave(1)


def learn(Engine engine, learnt, uint32_t generation, uint32_t entries):
    """Takes a `learnt.Learnt` of a sample of so many entries; False if another came since `generation`, or rows are left to recode."""
    cdef sc_learnt l
    cdef int rc
    shapes = ((120, engine.dim), (120, 16), (120,), (120,), (16,), (16, 2), (16, 2))
    arrays = [np.ascontiguousarray(a, dtype=np.float32 if i else np.float16) for i, a in enumerate(learnt[:7])]
    for a, shape in zip(arrays, shapes):
        if a.shape != shape:
            raise ValueError(f"learnt: expected an array of shape {shape}, got {a.shape}")
    l.rotation = <const uint16_t *>cnp.PyArray_DATA(<cnp.ndarray>arrays[0])
    l.centroids = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[1])
    l.means = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[2])
    l.steps = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[3])
    l.rests = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[4])
    l.strays = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[5])
    l.margins = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[6])
    l.margin_least, l.margin_step, l.loss = learnt[7:]
    l.entries = entries
    engine.enter_writer()
    try:
        with nogil:
            rc = sc_learn(engine.c, &l, generation)
        if rc == SC_EMOVED or rc == SC_EARG:
            return False
        if rc != SC_OK:
            raise_for(rc, "")
        return True
    finally:
        engine.leave(1)


def recode(Engine engine, uint32_t blocks):
    """Codes up to so many blocks of rows with the newest model; whether there are more."""
    cdef int left = 0
    cdef int rc
    engine.enter_writer()
    try:
        with nogil:
            rc = sc_recode(engine.c, blocks, &left)
        if rc != SC_OK:
            raise_for(rc, "")
        return left != 0
    finally:
        engine.leave(1)
