/* What the core asks of the operating system; platform.c, file.c, mapping.c and lock.c know which one. */
#ifndef SC_PLATFORM_H
#define SC_PLATFORM_H

#include "../common.h"

typedef struct sc_home sc_home;
typedef struct sc_kin sc_kin;

void *sc_os_map_private(size_t n);          /* zeroed, committed when touched; NULL on failure */
/* A file's mapping. Where the file turns out to be shorter than mapped (truncated meanwhile, or its disk
 * failed), the fault is caught, zeros take the place of what is missing, and the mapping is lost. */
typedef struct sc_mapping sc_mapping;
sc_mapping *sc_os_map_file(int fd, size_t n, bool read_only); /* NULL and errno on failure */
void sc_os_unmap_file(sc_mapping *m);
void *sc_os_mapped(const sc_mapping *m);
size_t sc_os_lost_from(const sc_mapping *m); /* where zeros begin; SIZE_MAX while nothing is lost */
void sc_os_unmap(void *p, size_t n);
void sc_os_large_pages(void *p, size_t n);  /* the whole pages in it, from now on, where memory is first touched */
bool sc_os_sync(void *p, size_t n);
/* Opens or creates (mode 0600) a regular file on a local file system. Not locked yet. */
int sc_os_open(const char *path, bool read_only, int *fd, bool *fresh, char *why, size_t why_len);
void sc_os_unlink(const char *path);
int sc_os_peek(const char *path, void *to, size_t n, uint64_t *size, char *why, size_t why_len);
uint64_t sc_os_size(int fd);
bool sc_os_still_there(const char *path, int fd); /* is it what the path names, or was it replaced or removed? */
/* Who has the file open holds a lock on it: alone while it creates or recovers, shared afterwards.
 * To go from one to the other the kernel drops the lock first: somebody may come in between. */
bool sc_os_try_alone(int fd);               /* false: others are there, and the lock is dropped */
bool sc_os_share(int fd);                   /* waits */
int sc_os_wait(const char *path, int fd, bool alone, char *why, size_t why_len); /* or SC_EINTR */
void sc_os_release(int fd);                 /* does as if it had not opened it */
void sc_os_reopen(int fd, bool read_only);  /* a forked child: a lock of its own */
bool sc_os_home(int fd, sc_home *out); /* false where it cannot be known */
void sc_os_kin(sc_kin *out);
bool sc_os_settle(int fd);                  /* all of a file on the disk */
void sc_os_pause(void);                     /* about a tenth of a millisecond */
unsigned sc_os_cpu(void);                   /* the processor that this runs on, about */
bool sc_os_reserve(int fd, uint64_t n);     /* allocates the blocks, so that writing cannot fail */
bool sc_os_begin(int fd, const void *mark, size_t n); /* empties the file and writes these bytes */
bool sc_os_read(int fd, void *to, size_t n);
void sc_os_close(int fd);
bool sc_os_random(void *to, size_t n);
int64_t sc_os_now(void);                    /* microseconds since the Unix epoch */

#endif
