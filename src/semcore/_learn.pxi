# What the background learner asks of an engine: learner.py.


def learning(Engine engine):
    """LEARNT, STALE (rows are left to recode) or UNLEARNT (there is something to learn)."""
    engine.enter()
    try:
        return sc_learning(engine.c)
    finally:
        engine.leave(1)


def sample(Engine engine, uint32_t rows, uint32_t part=0, uint32_t parts=1):
    """The stored vectors of up to so many live entries, evenly spread, (n, dim) float32; other ones in each part."""
    cdef uint32_t n
    cdef float *to
    out = np.empty((rows, engine.dim), dtype=np.float32)
    to = <float *>cnp.PyArray_DATA(<cnp.ndarray>out)
    engine.enter()
    try:
        with nogil:
            n = sc_sample(engine.c, rows, part, parts, to)
        return out[:n]
    finally:
        engine.leave(1)


cdef object array_of(object values, object dtype, tuple shape):
    a = np.ascontiguousarray(values, dtype=dtype)
    if a.shape != shape:
        raise ValueError(f"learnt: expected an array of shape {shape}, got {a.shape}")
    return a


def most_cells(Engine engine):
    """Most cells and groups of them that a model of this cache may have."""
    cdef uint32_t groups = 0
    engine.enter()
    try:
        return sc_most_cells(engine.c, &groups), groups
    finally:
        engine.leave(1)


def cells(Engine engine):
    """How many cells suit what the cache holds."""
    engine.enter()
    try:
        return sc_cells(engine.c)
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
    arrays = [array_of(a, np.float32 if i else np.float16, shape) for i, (a, shape) in enumerate(zip(learnt[:7], shapes))]
    cells = learnt.cells
    l.cells, l.groups = len(cells.codes) - (len(cells.first) - 1), len(cells.first) - 1
    arrays += [array_of(cells.codes, np.uint8, (l.cells + l.groups, 60)), array_of(cells.first, np.uint32, (l.groups + 1,)),
               array_of(cells.bases, np.float32, (120,)), array_of(cells.spreads, np.float32, (120,)),
               array_of(cells.shells, np.float32, (SC_SHELLS - 1,)),
               array_of(cells.probes, np.uint32, (SC_FLOORS, SC_SHARES))]
    most = most_cells(engine)
    if l.cells != 1 and (l.cells > most[0] or l.groups > most[1]):
        raise ValueError(f"learnt: expected at most {most} cells and groups, got {l.cells} and {l.groups}")
    l.rotation = <const uint16_t *>cnp.PyArray_DATA(<cnp.ndarray>arrays[0])
    l.centroids = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[1])
    l.means = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[2])
    l.steps = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[3])
    l.rests = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[4])
    l.strays = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[5])
    l.margins = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[6])
    l.centres = <const uint8_t *>cnp.PyArray_DATA(<cnp.ndarray>arrays[7])
    l.first = <const uint32_t *>cnp.PyArray_DATA(<cnp.ndarray>arrays[8])
    l.bases = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[9])
    l.spreads = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[10])
    l.shells = <const float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[11])
    l.probes = <const uint32_t *>cnp.PyArray_DATA(<cnp.ndarray>arrays[12])
    l.margin_least, l.margin_step, l.loss = learnt[7:10]
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
