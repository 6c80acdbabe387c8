#include "wheel.h"

#include "../region/entry.h"

/* A clock that goes back by less only delays the wheel; lookups check expiry themselves. */
#define STEP_BACK (60 * 1000000ull)

static const int shifts[SC_LEVELS] = {20, 26, 32, 38, 44}; /* microseconds a bucket, as a power of two */

static sc_a32 *bucket(const sc_region *r, int level, uint64_t time) {
    return &r->wheel[level * 64 + ((time >> shifts[level]) & 63)];
}

static uint64_t wheel_time(const sc_region *r) { return SC_LOAD(&r->h->state.wheel_time); }

/* The finest level on which the expiry is less than a turn away. Past times go to the current bucket. */
static sc_a32 *bucket_for(const sc_region *r, int64_t expires) {
    uint64_t base = wheel_time(r), time = (uint64_t)expires < base ? base : (uint64_t)expires;
    for (int level = 0; level < SC_LEVELS; level++)
        if ((time >> shifts[level]) - (base >> shifts[level]) < 64) return bucket(r, level, time);
    return bucket(r, SC_LEVELS - 1, base + (63ull << shifts[SC_LEVELS - 1])); /* re-sorted when it comes up */
}

static uint32_t bucket_number(const sc_region *r, const sc_a32 *head) { return (uint32_t)(head - r->wheel); }

void sc_wheel_link(sc_region *r, uint32_t slot) {
    sc_links *l = &r->links[slot];
    if (r->entries[slot].expires == SC_FOREVER) {
        SC_STORE(&l->wheel_prev, SC_NIL);
        return;
    }
    sc_a32 *head = bucket_for(r, r->entries[slot].expires);
    uint32_t next = SC_LOAD(head);
    SC_STORE(&l->wheel_next, next);
    SC_STORE(&l->wheel_prev, r->max_entries + bucket_number(r, head)); /* the head names its bucket */
    if (sc_slot_ok(r, next)) SC_STORE(&r->links[next].wheel_prev, slot);
    SC_STORE(head, slot);
}

void sc_wheel_unlink(sc_region *r, uint32_t slot) {
    uint32_t prev = SC_LOAD(&r->links[slot].wheel_prev), next = SC_LOAD(&r->links[slot].wheel_next);
    if (prev == SC_NIL) return;
    if (sc_slot_ok(r, prev)) SC_STORE(&r->links[prev].wheel_next, next);
    else if (prev - r->max_entries < 64 * SC_LEVELS) SC_STORE(&r->wheel[prev - r->max_entries], next);
    if (sc_slot_ok(r, next)) SC_STORE(&r->links[next].wheel_prev, prev);
    SC_STORE(&r->links[slot].wheel_prev, SC_NIL);
}

typedef struct turn { int64_t now; uint64_t expired; void (*expire)(sc_region *, uint32_t); } turn;

/* Empties a bucket: what is due expires, the rest is linked again where it now belongs. */
static void drain(sc_region *r, sc_a32 *head, turn *t) {
    uint32_t slot = SC_LOAD(head);
    SC_STORE(head, SC_NIL);
    for (uint32_t left = r->max_entries; sc_slot_ok(r, slot) && left > 0; left--) {
        uint32_t next = SC_LOAD(&r->links[slot].wheel_next);
        SC_STORE(&r->links[slot].wheel_prev, SC_NIL); /* off the wheel: expire() need not unlink */
        if (r->entries[slot].expires <= t->now) {
            t->expire(r, slot);
            t->expired++;
        } else {
            sc_wheel_link(r, slot);
        }
        slot = next;
    }
}

/* The clock was ahead and went back: every entry is linked anew from where it is now. */
static uint64_t start_over(sc_region *r, uint64_t to, turn *t) {
    SC_STORE(&r->h->state.wheel_time, to);
    for (int b = 0; b < 64 * SC_LEVELS; b++) drain(r, &r->wheel[b], t);
    return t->expired;
}

/* Drains the buckets of one level from number `from` to `to`, at most a whole turn. */
static void drain_span(sc_region *r, int level, uint64_t from, uint64_t to, turn *t) {
    if (to - from > 63) from = to - 63;
    for (uint64_t i = from; i <= to; i++) drain(r, bucket(r, level, i << shifts[level]), t);
}

uint64_t sc_wheel_advance(sc_region *r, int64_t now, bool exact, void (*expire)(sc_region *, uint32_t)) {
    turn t = {now, 0, expire};
    uint64_t from = wheel_time(r), to = now < 0 ? 0 : (uint64_t)now;
    if (to < from) return from - to < STEP_BACK ? 0 : start_over(r, to, &t);
    SC_STORE(&r->h->state.wheel_time, to);
    for (int level = SC_LEVELS - 1; level > 0; level--)
        if (from >> shifts[level] != to >> shifts[level])
            drain_span(r, level, (from >> shifts[level]) + 1, to >> shifts[level], &t);
    uint64_t first = from >> shifts[0], last = to >> shifts[0];
    if (exact || first != last) drain_span(r, 0, first, exact ? last : last - 1, &t);
    return t.expired;
}
