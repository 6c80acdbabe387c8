/* lru: the longest unused goes. */
#include "policy.h"

int64_t sc_score_lru(sc_hot h, uint32_t age, uint32_t capacity) {
    (void)h;
    (void)capacity;
    return -(int64_t)age;
}
