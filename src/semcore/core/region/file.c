#define _GNU_SOURCE /* O_CLOEXEC, flock */
/* Files: opening with checks, who else has one open, reserving its blocks. */
#include <errno.h>
#include <stdio.h>

#include "platform.h"
#include "region.h"

#if defined(__linux__)
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int os_error(const char *path, const char *what, char *why, size_t n) {
    snprintf(why, n, "%s: %s: %s", path, what, strerror(errno));
    return SC_EIO;
}

static int regular(const char *path, int fd, uint64_t *size, char *why, size_t n) {
    struct stat st;
    if (fstat(fd, &st) != 0) return os_error(path, "cannot stat", why, n);
    if (!S_ISREG(st.st_mode)) {
        snprintf(why, n, "%s is not a regular file", path);
        return SC_EREGION;
    }
    *size = (uint64_t)st.st_size;
    return SC_OK;
}

/* Two hosts would neither see each other's stores nor share a lock. */
static int local(const char *path, int fd, char *why, size_t n) {
    static const struct { uint32_t magic; const char *name; } networks[] = {
        {0x6969, "NFS"}, {0x517B, "SMB"}, {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB"},
        {0x5346414F, "AFS"}, {0x00C36400, "Ceph"}, {0x0BD00BD0, "Lustre"}, {0x73757245, "Coda"}};
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0) return os_error(path, "cannot stat its file system", why, n);
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        if ((uint32_t)fs.f_type != networks[i].magic) continue;
        snprintf(why, n, "path: %s lies on a network file system (%s); memory cannot be shared over it: "
                 "use a local disk or /dev/shm", path, networks[i].name);
        return SC_EUNSUPPORTED;
    }
    return SC_OK;
}

bool sc_os_still_there(const char *path, int fd) {
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int open_once(const char *path, bool read_only, int *fd, bool *fresh, char *why, size_t n) {
    *fresh = false;
    if (read_only) {
        *fd = open(path, O_RDONLY | OPEN_FLAGS);
    } else {
        *fd = open(path, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS, 0600);
        *fresh = *fd >= 0;
        if (*fd < 0 && errno == EEXIST) *fd = open(path, O_RDWR | OPEN_FLAGS);
    }
    return *fd < 0 ? os_error(path, "cannot open", why, n) : SC_OK;
}

int sc_os_open(const char *path, bool read_only, int *fd, bool *fresh, char *why, size_t n) {
    uint64_t size;
    int rc = open_once(path, read_only, fd, fresh, why, n);
    if (rc == SC_OK) rc = regular(path, *fd, &size, why, n);
    if (rc == SC_OK) rc = local(path, *fd, why, n);
    return rc;
}

uint64_t sc_os_size(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int sc_os_peek(const char *path, void *to, size_t bytes, uint64_t *size, char *why, size_t n) {
    int fd = open(path, O_RDONLY | OPEN_FLAGS);
    if (fd < 0) return os_error(path, "cannot open", why, n);
    int rc = regular(path, fd, size, why, n);
    if (rc == SC_OK && (*size < bytes || !sc_os_read(fd, to, bytes))) {
        snprintf(why, n, "%s is not a semcore file (%llu bytes)", path, (unsigned long long)*size);
        rc = SC_EREGION;
    }
    close(fd);
    return rc;
}

static int lock(int fd, int how) {
    int rc;
    do rc = flock(fd, how); while (rc != 0 && errno == EINTR);
    return rc;
}
bool sc_os_try_alone(int fd) { return lock(fd, LOCK_EX | LOCK_NB) == 0; }
bool sc_os_share(int fd) { return lock(fd, LOCK_SH) == 0; }
void sc_os_release(int fd) { lock(fd, LOCK_UN); }
int sc_os_wait(const char *path, int fd, bool alone, char *why, size_t n) {
    if (flock(fd, alone ? LOCK_EX : LOCK_SH) == 0) return SC_OK;
    return errno == EINTR ? SC_EINTR : os_error(path, "cannot lock", why, n);
}

/* Of a forked child: a lock of its own, where the parent's was shared by both. */
void sc_os_reopen(int fd, bool read_only) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int own = open(self, (read_only ? O_RDONLY : O_RDWR) | OPEN_FLAGS);
    if (own < 0) return; /* no right to open it any more: the lock stays shared */
    if (read_only || lock(own, LOCK_SH | LOCK_NB) == 0) dup3(own, fd, O_CLOEXEC);
    close(own);
}

bool sc_os_home(int fd, sc_home *out) {
    struct statx st;
    char text[37];
    int boot = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (boot < 0) return false;
    bool ok = read(boot, text, 36) == 36 && statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) == 0;
    close(boot);
    if (!ok) return false;
    if (!(st.stx_mask & STATX_BTIME)) return false; /* a copy may get the inode number of what it replaces */
    *out = (sc_home){.device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor, .inode = st.stx_ino};
    out->born = st.stx_btime.tv_sec * 1000000000ll + st.stx_btime.tv_nsec;
    for (int i = 0, digits = 0; i < 36; i++) { /* 32 hex digits, and dashes */
        if (text[i] == '-') continue;
        uint8_t value = (uint8_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
        out->boot[digits / 2] = (uint8_t)(out->boot[digits / 2] << 4 | value);
        digits++;
    }
    return true;
}

void sc_os_kin(sc_kin *out) {
    struct stat st;
    *out = (sc_kin){.mutex_bytes = sizeof(pthread_mutex_t)};
    if (stat("/proc/self/ns/pid", &st) == 0) out->pid_namespace = st.st_ino;
#if defined(__GLIBC__)
    out->library = 1;
#endif
}

/* posix_fallocate would raise SIGXFSZ over the limit. */
static bool within_limit(uint64_t n) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || n <= limit.rlim_cur;
}

bool sc_os_reserve(int fd, uint64_t n) {
    int rc = within_limit(n) ? EINTR : EFBIG;
    while (rc == EINTR) rc = posix_fallocate(fd, 0, (off_t)n);
    if (rc == 0) return true;
    if (ftruncate(fd, 0) != 0) { /* the caller reports the reservation's own error */ }
    errno = rc;
    return false;
}
bool sc_os_read(int fd, void *to, size_t n) { return pread(fd, to, n, 0) == (ssize_t)n; }
bool sc_os_begin(int fd, const void *mark, size_t n) {
    return ftruncate(fd, 0) == 0 && pwrite(fd, mark, n, 0) == (ssize_t)n;
}
bool sc_os_settle(int fd) { return fsync(fd) == 0; }
void sc_os_unlink(const char *path) { unlink(path); }
void sc_os_close(int fd) { close(fd); }
#else
static int no_files(const char *path, char *why, size_t n) {
    snprintf(why, n, "%s: file-backed caches need Linux; use path=None (private memory) here", path);
    return SC_EUNSUPPORTED;
}
int sc_os_open(const char *path, bool read_only, int *fd, bool *fresh, char *why, size_t n) {
    (void)read_only; (void)fd; (void)fresh;
    return no_files(path, why, n);
}
uint64_t sc_os_size(int fd) { (void)fd; return 0; }
bool sc_os_still_there(const char *path, int fd) { (void)path; (void)fd; return true; }
int sc_os_peek(const char *path, void *to, size_t bytes, uint64_t *size, char *why, size_t n) {
    (void)to; (void)bytes; (void)size;
    return no_files(path, why, n);
}
bool sc_os_try_alone(int fd) { (void)fd; return true; }
bool sc_os_share(int fd) { (void)fd; return true; }
void sc_os_release(int fd) { (void)fd; }
int sc_os_wait(const char *path, int fd, bool alone, char *why, size_t n) {
    (void)fd; (void)alone;
    return no_files(path, why, n);
}
void sc_os_reopen(int fd, bool read_only) { (void)fd; (void)read_only; }
bool sc_os_home(int fd, sc_home *out) { (void)fd; (void)out; return false; }
bool sc_os_reserve(int fd, uint64_t n) { (void)fd; (void)n; return false; }
bool sc_os_read(int fd, void *to, size_t n) { (void)fd; (void)to; (void)n; return false; }
bool sc_os_begin(int fd, const void *mark, size_t n) { (void)fd; (void)mark; (void)n; return false; }
void sc_os_kin(sc_kin *out) { *out = (sc_kin){0}; }
bool sc_os_settle(int fd) { (void)fd; return false; }
void sc_os_unlink(const char *path) { (void)path; }
void sc_os_close(int fd) { (void)fd; }
#endif
