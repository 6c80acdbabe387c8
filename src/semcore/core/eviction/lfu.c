/* lfu: the least decayed hit count goes. Undecayed LFU never forgets what was popular once,
 * so it is not offered. */
#include "policy.h"

int64_t sc_score_lfu(sc_hot h, uint32_t age, uint32_t capacity) { return sc_decayed(h, age, capacity); }
