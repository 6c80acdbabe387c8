/* Damaged prefix indexes, use by use. Each case spoils a few numbers of a sound index in the way that one check in
 * core/prefix is there for, and goes on using it in a process of its own: it must not crash, hang, or serve another prompt's
 * value; it must notice, so that it is sound when the lock is let go; and what is left must be sound and bear every call.
 * Then many at once where dice say, which need not be noticed. Prints "ok N", or what went wrong in which case. An argument:
 * only cases with this in their names. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/prefix/prefix.h"

#define BLOCKS 64
#define NOW 1700000000000000ll
#define ROLLS 2000
#define FAR 0x7fffff00u   /* in no list; what lies there is not mapped */
#define FAR_RUN 0x3ffff00u /* the same of a line's number of a run */

static sc_cache *c;
static sc_region *r;
static sc_prefix *x;
static sc_prefix_state *s;
static bool strict = true; /* whose value is served can be told */

/* ---- prompts: a token a letter, a block a token ---- */

#define ROOT "abcdefghij"    /* run 0: values behind 5 and 10, held by 0 (all) and 1 (7), a step at 8 */
#define DEEP "abcdefWXYZ"    /* run 1, from 6: a value, held by 0 */
#define SHALLOW "abcQRST"    /* run 2, from 3: pinned, held by 0 */
#define OTHER "012345"       /* run 3: a value, held by 2 */
#define GONE "GONEGONE"      /* run 4: free */
static const char *const PROMPTS[] = {ROOT, "abcde", "abcdefgh", DEEP, SHALLOW, OTHER};
enum { RUN_ROOT, RUN_DEEP, RUN_SHALLOW, RUN_OTHER, RUN_GONE };

static sc_prompt *prompt(const char *text) {
    static int32_t tokens[BLOCKS];
    static sc_hash128 hashes[BLOCKS];
    static sc_prompt p;
    uint32_t n = (uint32_t)strlen(text);
    for (uint32_t i = 0; i < n; i++) tokens[i] = text[i];
    p = (sc_prompt){.data = tokens, .hashes = hashes, .blocks = n, .group = 1, .root = sc_prefix_root(c, "", 0)};
    return &p;
}

static sc_hash128 key_of(const char *text) {
    sc_prompt *p = prompt(text);
    if (sc_chain_groups(r, p, p->blocks) != SC_OK) abort();
    return p->hashes[p->blocks - 1];
}

/* What a prompt's value says, if it is `n` bytes: the prompt, again and again. */
static void value_of(const char *text, size_t length, char *to, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = text[i % length];
}

static int insert(const char *text, size_t value, uint32_t replica) {
    static char bytes[4096];
    sc_inserted done;
    value_of(text, strlen(text), bytes, value);
    sc_attach what = {.replica = replica, .value = value ? bytes : NULL, .value_len = value, .expires = SC_FOREVER};
    return sc_prefix_insert(c, prompt(text), &what, NOW, &done);
}

static void die(const char *why) {
    printf("%s", why);
    fflush(stdout);
    _exit(1);
}

static void match(const char *text) {
    char to[4096], want[4096];
    uint32_t scores[4];
    sc_match m;
    if (sc_prefix_match(c, prompt(text), true, true, NOW, to, sizeof to, scores, 4, &m) != SC_OK) die("a match failed");
    if (m.blocks > strlen(text) || m.value_at > m.blocks) die("more matches than was asked for");
    if (m.value_at == 0) return;
    if (m.value_len > sizeof to) die("a value is longer than any");
    value_of(text, m.value_at, want, m.value_len);
    if (strict && (m.value_kind || m.value_len < 100 || memcmp(to, want, m.value_len) != 0)) die("another value was served");
}

/* ---- uses ---- */

static void look(void) {
    for (size_t i = 0; i < sizeof PROMPTS / sizeof *PROMPTS; i++) match(PROMPTS[i]);
}
static void extend(void) { insert(ROOT "klm", 0, 3); }
static void branch(void) { insert("aBRANCH", 0, SC_NIL); }
static void attach(void) { insert("abcdefghi", 130, SC_NIL); }
static void hold(void) { insert("abcdefgh", 0, 3); }
static void insert_another(void) { insert("ANOTHER", 0, SC_NIL); }
static void fill(void) {
    char text[] = "000 fill";
    for (int i = 0; i < 40; i++) {
        memcpy(text, (char[]){(char)('0' + i / 10), (char)('0' + i % 10), 'x'}, 3);
        insert(text, i % 2 ? 100 : 0, i % 3 ? 1 : SC_NIL);
    }
}
static void pin(void) {
    uint32_t blocks;
    sc_prefix_pin(c, prompt(ROOT), true, &blocks);
}
static void unpin(void) {
    uint32_t blocks;
    sc_prefix_pin(c, prompt(SHALLOW), false, &blocks);
}
static void forget(void) {
    uint64_t runs;
    sc_prefix_forget(c, 0, &runs);
}
static void removed(void) {
    sc_hash128 key = key_of("abcd");
    sc_prefix_removed(c, &key, 1, 0);
}
static void stored(void) {
    sc_hash128 after = key_of(OTHER), key = {1, 2};
    sc_prefix_stored(c, &after, &key, 1, 1);
}
static void drop_value(void) { /* as when there is no room for one */
    if (sc_engine_lock(c) != SC_OK) die("no lock");
    for (int i = 0; i < 2; i++) sc_mark_oldest(r);
    sc_engine_unlock(c);
}
static void cut(void) { /* as when another needs the room */
    if (sc_engine_lock(c) != SC_OK) die("no lock");
    sc_run_cut(r, RUN_OTHER, 3);
    sc_engine_unlock(c);
}
static void clear(void) { sc_prefix_clear(c); }
static void repair(void) { sc_repair(c); }
static void ask(void) {} /* the audit alone */

static void everything(void) {
    void (*const uses[])(void) = {look, extend, branch, attach, hold, pin, unpin, stored, removed, forget, fill, look, repair, look, clear};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) uses[i]();
}

/* ---- what is damaged ---- */

static sc_run *run(uint32_t i) { return &x->runs[i]; }
static sc_note *note(uint32_t i) { return &x->notes[i]; }
static sc_mark *mark(uint32_t i) { return &x->marks[i]; }
static sc_line *line(uint32_t slot) { return &x->lines[slot / SC_LINE]; }
static uint32_t root_mark(void) { return run(RUN_ROOT)->marks; }
static void set_run(uint32_t slot, uint32_t to) {
    SC_STORE(&line(slot)->run[slot % SC_LINE], (SC_LOAD(sc_line_word(x, slot)) & ~SC_RUN_MASK) | to);
}
static void set_prev(uint32_t slot, uint32_t to) { SC_STORE(&line(slot)->prev[slot % SC_LINE], to); }
static void sign(uint32_t i) { mark(i)->sum = sc_mark_sum(r, mark(i)); }
static void swap_marks(void) { /* each in the other's run */
    uint32_t one = run(RUN_DEEP)->marks;
    run(RUN_DEEP)->marks = run(RUN_OTHER)->marks;
    run(RUN_OTHER)->marks = one;
}
static uint32_t slot_of(const char *text) { return sc_line_find(x, key_of(text)); }
static void add_step(void) { run(RUN_OTHER)->steps = sc_note_new(r, SC_NIL, 3, run(RUN_OTHER)->stamp + 1); }
static void overgrow(void) {
    sc_hash128 keys[50];
    for (uint32_t i = 0; i < 50; i++) keys[i] = (sc_hash128){(uint64_t)i << 58, i + 1};
    sc_run_grow(r, RUN_OTHER, run(RUN_OTHER)->tail, keys, 50, run(RUN_OTHER)->stamp);
}
static void fill_up(void) { insert("a prompt that takes all the forty of them", 0, SC_NIL); }
/* What a loop that runs on finds behind a part: nothing that would stop it, up to the end of the mapping. */
static void wipe(void *part, int byte) { memset(part, byte, (size_t)((uint8_t *)r->base + r->total - (uint8_t *)part)); }
static void orphan(uint32_t parent) { /* DEEP is no child of ROOT any more, and says that it is another's */
    run(RUN_ROOT)->child = RUN_SHALLOW;
    run(RUN_SHALLOW)->prev = run(RUN_DEEP)->next = SC_NIL;
    run(RUN_DEEP)->parent = parent;
}

typedef struct damage {
    const char *name;
    void (*use)(void), (*spoil)(void);
    const char *says; /* by the audit at once */
    bool quiet;       /* the use does not notice */
} damage;

#define SEEN(use, name, ...) static void spoil_##name(void) { __VA_ARGS__; }
#define QUIET SEEN
#define AUDIT(says, name, ...) static void spoil_##name(void) { __VA_ARGS__; }
#include "prefix_damages.inc"
#undef SEEN
#undef QUIET
#undef AUDIT
#define SEEN(use, name, ...) {#name, use, spoil_##name, NULL, false},
#define QUIET(use, name, ...) {#name, use, spoil_##name, NULL, true},
#define AUDIT(says, name, ...) {#name, ask, spoil_##name, says, true},
static const damage DAMAGES[] = {
#include "prefix_damages.inc"
};

/* ---- one case ---- */

static void make(void) {
    char path[64], why[256];
    uint32_t blocks;
    uint64_t runs;
    snprintf(path, sizeof path, "/proc/self/fd/%d", memfd_create("damage", 0));
    sc_options o = {.path = path, .max_entries = 4, .max_bytes = 90000, .prefix_blocks = BLOCKS, .prefix_block = 1, .prefix_group = 1};
    if (sc_open(&o, &c, why, sizeof why) != SC_OK) die(why);
    r = &c->r, x = &r->prefix, s = &r->h->prefix;
    insert(ROOT, 200, 0), insert("abcde", 150, SC_NIL), insert("abcdefg", 0, 1);
    insert(DEEP, 140, 0), insert(SHALLOW, 0, 0), insert(OTHER, 110, 2), insert(GONE, 0, 3);
    sc_prefix_pin(c, prompt(SHALLOW), true, &blocks);
    sc_prefix_forget(c, 3, &runs);
    match("abcdefgh");
    bool as_said = s->runs == 4 && s->free_run == RUN_GONE && run(RUN_DEEP)->start == 6 && run(RUN_SHALLOW)->start == 3 &&
                   run(RUN_OTHER)->length == 6 && run(RUN_ROOT)->steps != SC_NIL && s->free_note != SC_NIL && s->marks == 4;
    if (!as_said || sc_prefix_validate(c)) die("the index is another than the cases are for");
}

static uint64_t recoveries(void) {
    uint64_t n = 0;
    for (int i = 0; i < SC_SHARDS; i++) n += SC_LOAD(&r->h->ledger[i].counts[SC_RECOVERIES]);
    return n;
}

static void one(const damage *d) {
    make();
    d->spoil();
    if (d->says) {
        const char *why = sc_prefix_validate(c);
        if (!why || !strstr(why, d->says)) die(why ? why : "the audit saw nothing");
    }
    d->use();
    const char *why = sc_validate(c);
    if (!d->quiet && why) die(why);
    if (!d->quiet && recoveries() == 0) die("nothing was noticed");
    repair();
    if ((why = sc_validate(c))) die(why);
    everything();
    if ((why = sc_validate(c))) die(why);
    sc_close(c);
    _exit(0);
}

/* ---- dice ---- */

static uint64_t state;

static uint32_t roll(uint32_t sides) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33) % sides;
}

/* A number that could stand there, or just not. */
static uint32_t number(uint32_t old) {
    const uint32_t numbers[] = {0, roll(8), roll(BLOCKS + 2), roll(x->nnotes + 2), old + 1, old - 1, SC_NIL, FAR, 1u << roll(32)};
    return numbers[roll(sizeof numbers / sizeof *numbers)];
}

static void spoil_a_word(void) {
    uint32_t *const parts[] = {(uint32_t *)s, (uint32_t *)x->runs, (uint32_t *)x->notes, (uint32_t *)x->marks, x->heap,
                               (uint32_t *)x->lines};
    const uint32_t words[] = {sizeof *s / 4, 5 * sizeof(sc_run) / 4, 16 * sizeof(sc_note) / 4, 5 * sizeof(sc_mark) / 4, 5,
                              x->nlines * (uint32_t)sizeof(sc_line) / 4};
    uint32_t part = roll(sizeof parts / sizeof *parts), *word = &parts[part][roll(words[part])];
    for (int tries = 0; *word == 0 && tries < 20; tries++) word = &parts[part][roll(words[part])]; /* where something is */
    *word = number(*word);
}

static void chance(uint32_t seed) {
    const char *why;
    make();
    strict = false;
    state = seed * 0x9e3779b97f4a7c15ull;
    for (uint32_t i = roll(6) + 1; i > 0; i--) spoil_a_word();
    everything();
    repair();
    if ((why = sc_validate(c))) die(why);
    everything();
    if ((why = sc_validate(c))) die(why);
    sc_close(c);
    _exit(0);
}

/* In a child: how it ended. Hangs end by its processor time. */
static int ends(const damage *d, uint32_t seed) {
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        setrlimit(RLIMIT_CPU, &(struct rlimit){5, 5});
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (d) one(d);
        else chance(seed);
    }
    int status;
    if (waitpid(child, &status, 0) != child) abort();
    return status;
}

static bool ended(int status, const char *name) {
    if (status == 0) return true;
    if (WIFSIGNALED(status)) printf("%s", strsignal(WTERMSIG(status)));
    printf(": %s\n", name);
    fflush(stdout);
    return false;
}

int main(int argc, char **argv) {
    int n = 0, right = 0;
    if (sc_isa_select("scalar") != SC_OK) return 2;
    for (size_t i = 0; i < sizeof DAMAGES / sizeof *DAMAGES; i++) {
        if (argc > 1 && !strstr(DAMAGES[i].name, argv[1])) continue;
        right += ended(ends(&DAMAGES[i], 0), DAMAGES[i].name);
        n++;
    }
    for (uint32_t seed = 0; seed < ROLLS; seed++) {
        char name[32];
        snprintf(name, sizeof name, "dice %u", seed);
        if (argc > 1 && !strstr(name, argv[1])) continue;
        right += ended(ends(NULL, seed), name);
        n++;
    }
    if (right == n) printf("ok %d\n", n);
    return right != n;
}
