/* Faults at chosen points of a run, and a record of what it touches. Loaded with LD_PRELOAD.
 *
 * Every operation that changes a file below a root folder gets a number, over all processes of a run, since the counter
 * lies in a file that all of them map. At a chosen number something happens: the processes are killed, the operation
 * (and those after it) fails with an error number, a signal is sent, or the clock goes back.
 *
 * Beside that it can watch: opening anything below a forbidden folder, opening a file to write outside the allowed
 * folders, and connecting to another host are written to a log.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE = 2, SYNC = 4, RENAME = 8, UNLINK = 16, MKDIR = 32 };
enum { NOTHING = 0, KILL_GROUP = 1, KILL_SELF = 2, FAIL_ONCE = 3, FAIL_FROM = 4, CLOCK_BACK = 5, SIGNAL_PARENT = 6 };

/* The harness writes these fields with struct.pack("<QQIIIIqII", ...) and three texts of 512 bytes. */
struct state {
    _Atomic uint64_t count;
    uint64_t target;
    uint32_t action;
    uint32_t number;   /* error or signal */
    uint32_t classes;  /* of operations that fail */
    uint32_t watch;
    int64_t shift;     /* seconds that the clock goes back */
    _Atomic uint32_t fired;
    uint32_t lead;     /* process that a signal goes to */
    char root[512];
    char log[512];
    char forbidden[512];
};

static struct state *state;
static __thread int inside;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("SHIM_STATE");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *where = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (where != MAP_FAILED) state = where;
    close(fd);
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = dlsym(RTLD_NEXT, #name)

static int below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || path[length] == 0);
}

static void note(const char *what, const char *path) {
    if (!state->log[0]) return;
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s\t%d\t%s\n", what, (int)getpid(), path);
    inside++;
    int fd = open(state->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) {
        NEXT(write);
        if (next(fd, line, (size_t)length) < 0) { /* nothing to be done */ }
        close(fd);
    }
    inside--;
}

static const char *absolute(int folder, const char *path, char *out) {
    if (!path) return "";
    if (path[0] == '/') return path;
    char base[PATH_MAX] = "";
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(name, base, sizeof base - 1);
        if (length < 0) return path;
        base[length] = 0;
    }
    snprintf(out, PATH_MAX, "%.2000s/%.2000s", base, path);
    return out;
}

static const char *of_fd(int fd, char *out) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, out, PATH_MAX - 1);
    if (length < 0) return "";
    out[length] = 0;
    return out;
}

/* Whether the operation has to fail; errno is set then. */
static int meet(uint32_t class, const char *name, const char *path) {
    if (!state || inside || !state->root[0] || !below(path, state->root)) return 0;
    /* What is written when a clock says so would number the others differently each time. */
    int timed = strstr(path, "/progress.") != NULL || strstr(path, "/logs/") != NULL;
    uint64_t mine = 0;
    if (!timed) {
        mine = atomic_fetch_add(&state->count, 1) + 1;
        if (state->watch & 2) note(name, path);
    }
    if (!state->action) return 0;
    if (!timed && mine == state->target) {
        atomic_store(&state->fired, 1);
        char what[32];
        snprintf(what, sizeof what, "fired %s", name);
        note(what, path);
        if (state->action == KILL_GROUP) { kill(0, SIGKILL); for (;;) pause(); }
        if (state->action == KILL_SELF) { kill(getpid(), SIGKILL); for (;;) pause(); }
        if (state->action == SIGNAL_PARENT) { kill((pid_t)state->lead, (int)state->number); return 0; }
        if (state->action == FAIL_ONCE && (class & state->classes)) { errno = (int)state->number; return 1; }
    }
    if (state->action == FAIL_FROM && atomic_load(&state->fired) && (class & state->classes)) {
        errno = (int)state->number;
        return 1;
    }
    return 0;
}

static void look(const char *path, int writes) {
    if (!state || inside || !(state->watch & 1)) return;
    if (below(path, state->forbidden)) note("forbidden", path);
    if (writes && !below(path, state->root) && strncmp(path, "/dev/", 5) && strncmp(path, "/proc/", 6))
        note("outside", path);
}

static int opens(int folder, const char *given, int flags) {
    char buffer[PATH_MAX];
    if (!state || inside) return 0;
    const char *path = absolute(folder, given, buffer);
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    look(path, writes);
    return writes && meet(CREATE, "open", path);
}

#define OPENED(name, folder, path)                                        \
    mode_t mode = 0;                                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                                  \
        va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); \
    }                                                                     \
    if (opens(folder, path, flags)) return -1

int open(const char *path, int flags, ...) { NEXT(open); OPENED(open, AT_FDCWD, path); return next(path, flags, mode); }
int open64(const char *path, int flags, ...) { NEXT(open64); OPENED(open64, AT_FDCWD, path); return next(path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { NEXT(openat); OPENED(openat, folder, path); return next(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { NEXT(openat64); OPENED(openat64, folder, path); return next(folder, path, flags, mode); }
int creat(const char *path, mode_t mode) { NEXT(creat); if (opens(AT_FDCWD, path, O_WRONLY | O_CREAT)) return -1; return next(path, mode); }

static int flags_of(const char *mode) { return mode[0] == 'r' && !strchr(mode, '+') ? O_RDONLY : O_RDWR; }
FILE *fopen(const char *path, const char *mode) { NEXT(fopen); if (opens(AT_FDCWD, path, flags_of(mode))) return NULL; return next(path, mode); }
FILE *fopen64(const char *path, const char *mode) { NEXT(fopen64); if (opens(AT_FDCWD, path, flags_of(mode))) return NULL; return next(path, mode); }

#define WRITES(fd, failed)                                                    \
    char buffer[PATH_MAX];                                                    \
    if (state && !inside && state->root[0] && (fd) > 2 && meet(WRITE, "write", of_fd(fd, buffer))) return failed

ssize_t write(int fd, const void *data, size_t size) { NEXT(write); WRITES(fd, -1); return next(fd, data, size); }
ssize_t writev(int fd, const struct iovec *data, int count) { NEXT(writev); WRITES(fd, -1); return next(fd, data, count); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { NEXT(pwrite); WRITES(fd, -1); return next(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { NEXT(pwrite64); WRITES(fd, -1); return next(fd, data, size, at); }
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) { NEXT(fwrite); WRITES(fileno(file), 0); return next(data, size, count, file); }
ssize_t sendfile(int out, int in, off_t *at, size_t count) { NEXT(sendfile); WRITES(out, -1); return next(out, in, at, count); }
ssize_t sendfile64(int out, int in, off64_t *at, size_t count) { NEXT(sendfile64); WRITES(out, -1); return next(out, in, at, count); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned int flags) { NEXT(copy_file_range); WRITES(out, -1); return next(in, from, out, to, count, flags); }
int ftruncate(int fd, off_t size) { NEXT(ftruncate); WRITES(fd, -1); return next(fd, size); }
int ftruncate64(int fd, off64_t size) { NEXT(ftruncate64); WRITES(fd, -1); return next(fd, size); }

#define SYNCS(fd) char buffer[PATH_MAX]; if (state && !inside && meet(SYNC, "sync", of_fd(fd, buffer))) return -1
int fsync(int fd) { NEXT(fsync); SYNCS(fd); return next(fd); }
int fdatasync(int fd) { NEXT(fdatasync); SYNCS(fd); return next(fd); }

static int renames(int from, const char *old, int to, const char *new) {
    char one[PATH_MAX], two[PATH_MAX], both[2 * PATH_MAX + 8];
    if (!state || inside) return 0;
    const char *a = absolute(from, old, one), *b = absolute(to, new, two);
    look(a, 1);
    look(b, 1);
    snprintf(both, sizeof both, "%s\t%s", a, b);
    return meet(RENAME, "rename", both);
}
int rename(const char *old, const char *new) { NEXT(rename); if (renames(AT_FDCWD, old, AT_FDCWD, new)) return -1; return next(old, new); }
int renameat(int from, const char *old, int to, const char *new) { NEXT(renameat); if (renames(from, old, to, new)) return -1; return next(from, old, to, new); }
int renameat2(int from, const char *old, int to, const char *new, unsigned int flags) { NEXT(renameat2); if (renames(from, old, to, new)) return -1; return next(from, old, to, new, flags); }

#define NAMED(class, name, folder, path)                                        \
    char buffer[PATH_MAX];                                                      \
    if (state && !inside) {                                                     \
        const char *whole = absolute(folder, path, buffer);                     \
        look(whole, 1);                                                         \
        if (meet(class, name, whole)) return -1;                                \
    }
int unlink(const char *path) { NEXT(unlink); NAMED(UNLINK, "unlink", AT_FDCWD, path); return next(path); }
int unlinkat(int folder, const char *path, int flags) { NEXT(unlinkat); NAMED(UNLINK, "unlink", folder, path); return next(folder, path, flags); }
int rmdir(const char *path) { NEXT(rmdir); NAMED(UNLINK, "unlink", AT_FDCWD, path); return next(path); }
int mkdir(const char *path, mode_t mode) { NEXT(mkdir); NAMED(MKDIR, "mkdir", AT_FDCWD, path); return next(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { NEXT(mkdirat); NAMED(MKDIR, "mkdir", folder, path); return next(folder, path, mode); }

int connect(int fd, const struct sockaddr *to, socklen_t size) {
    NEXT(connect);
    if (state && !inside && (state->watch & 1) && (to->sa_family == AF_INET || to->sa_family == AF_INET6)) note("connect", "");
    return next(fd, to, size);
}

static int64_t back(void) {
    return state && state->action == CLOCK_BACK && atomic_load(&state->fired) ? state->shift : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    NEXT(clock_gettime);
    int said = next(clock, now);
    if (!said && clock == CLOCK_REALTIME) now->tv_sec -= back();
    return said;
}
