/* value: decayed hit count x saving / bytes; what will spare least per byte goes. */
#include "policy.h"

int64_t sc_score_value(sc_hot h, uint32_t age, uint32_t capacity) {
    return sc_decayed(h, age, capacity) + (int64_t)h.density * (SC_COUNT_ONE / SC_DENSITY_ONE);
}
