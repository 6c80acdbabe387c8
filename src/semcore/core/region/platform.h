/* What the core asks of the operating system. platform.c is the only file that knows which one. */
#ifndef SC_PLATFORM_H
#define SC_PLATFORM_H

#include "../common.h"

typedef struct sc_home sc_home;

void *sc_os_map_private(size_t n);          /* zeroed, committed when touched; NULL on failure */
/* A file's mapping. Where the file turns out to be shorter than mapped (truncated meanwhile, or its disk
 * failed), the fault is caught, zeros take the place of what is missing, and the mapping is lost. */
typedef struct sc_mapping sc_mapping;
sc_mapping *sc_os_map_file(int fd, size_t n, bool read_only); /* NULL and errno on failure */
void sc_os_unmap_file(sc_mapping *m);
void *sc_os_mapped(const sc_mapping *m);
bool sc_os_copy(sc_mapping *m, int fd);     /* in its place, a private copy of the file */
bool sc_os_lost(const sc_mapping *m);
void sc_os_unmap(void *p, size_t n);
void sc_os_large_pages(void *p, size_t n);  /* from now on, where memory is first touched */
bool sc_os_sync(void *p, size_t n);
/* Opens or creates (mode 0600) a regular file; waits while another process creates or recovers it. */
int sc_os_open(const char *path, bool read_only, int *fd, uint64_t *size, bool *fresh, char *why, size_t why_len);
void sc_os_unlink(const char *path);
int sc_os_peek(const char *path, void *to, size_t n, uint64_t *size, char *why, size_t why_len);
bool sc_os_alone(int fd);                   /* no other process has the file open */
void sc_os_share(int fd);                   /* lets others open it */
void sc_os_release(int fd);                 /* does as if it had not opened it */
bool sc_os_home(int fd, sc_home *out); /* false where it cannot be known */
bool sc_os_settle(int fd);                  /* all of a file on the disk */
unsigned sc_os_cpu(void);                   /* the processor that this runs on, about */
bool sc_os_reserve(int fd, uint64_t n);     /* allocates the blocks, so that writing cannot fail */
bool sc_os_begin(int fd, const void *mark, size_t n); /* empties the file and writes these bytes */
bool sc_os_read(int fd, void *to, size_t n);
void sc_os_close(int fd);
bool sc_os_random(void *to, size_t n);
int64_t sc_os_now(void);                    /* microseconds since the Unix epoch */

#endif
