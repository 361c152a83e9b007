/* Counts what a process does to the world, and at one such step kills, freezes or cheats it.
 *
 * Preloaded (LD_PRELOAD) before libc, so that every call of SQLite's and Python's comes by here. A
 * step is a write, sync, truncation, rename, removal or creation of a folder on a file, whatever
 * goes to stdout or stderr, and what is sent over the Internet protocol; sockets between threads of
 * the process are none. One lock around each step: what the journal says is the order in which the
 * world saw it.
 *
 * Nothing happens until steps_begin(), which a forked process calls, or STEPS_BEGIN is set at the
 * start of a program. It reads from the environment:
 *
 *   STEPS_AT=N          the step at which STEPS_MODE happens; others pass
 *   STEPS_MODE=…        kill-before kill-after kill-amid (half of the bytes) stop-before stop-after
 *                       fail-once fail-on (this one and all on files after it)
 *   STEPS_ERRNO=N       what fail-… fails with
 *   STEPS_JUMP_MS=N     how far the clocks are ahead when a frozen process wakes up
 *   STEPS_PACE=N,O,V    clocks run N times as fast: since O ns of the monotonic clock, when the time
 *                       of day was V ns; sleeps are as much shorter
 *   STEPS_IMPATIENT=1   sleeps of SQLite's busy handler take no time at all
 *   STEPS_JOURNAL=FILE  a line for each step: call, offset, length, path (tab-separated)
 *   STEPS_BYTES=FILE    the bytes of all writes to files, one after the other
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum mode { PASS, KILL_BEFORE, KILL_AFTER, KILL_AMID, STOP_BEFORE, STOP_AFTER, FAIL_ONCE, FAIL_ON };
static const char *const MODES[] = {"pass",       "kill-before", "kill-after", "kill-amid",
                                    "stop-before", "stop-after",  "fail-once",  "fail-on"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int begun, impatient, journal = -1, bytes = -1, error;
static long at, number;
static enum mode mode;
static long long jump_ns, ahead_ns;
static long long pace = 1, pace_origin, pace_day;

#define REAL(type, name, ...)                                                                      \
    static type (*real_##name)(__VA_ARGS__);                                                       \
    if (!real_##name)                                                                              \
        real_##name = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static long number_of(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int opened(const char *name) {
    const char *path = getenv(name);
    return path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

/* Start counting; called by a process that was forked, and at the start of one that was not. */
void steps_begin(void) {
    const char *wanted = getenv("STEPS_MODE"), *paced = getenv("STEPS_PACE");
    mode = PASS;
    for (int each = 0; wanted && each <= FAIL_ON; each++)
        if (!strcmp(wanted, MODES[each]))
            mode = (enum mode)each;
    at = number_of("STEPS_AT");
    error = (int)number_of("STEPS_ERRNO");
    jump_ns = number_of("STEPS_JUMP_MS") * 1000000LL;
    impatient = (int)number_of("STEPS_IMPATIENT");
    if (paced)
        sscanf(paced, "%lld,%lld,%lld", &pace, &pace_origin, &pace_day);
    journal = opened("STEPS_JOURNAL");
    bytes = opened("STEPS_BYTES");
    number = 0;
    begun = 1;
}

__attribute__((constructor)) static void from_the_start(void) {
    if (getenv("STEPS_BEGIN"))
        steps_begin();
}

/* Return the name of what is behind a descriptor, or NULL if it is not watched. */
static const char *watched(int fd, char *room, size_t size) {
    struct stat found;
    if (!begun || fd < 0)
        return NULL;
    if (fd == 1)
        return "stdout";
    if (fd == 2)
        return "stderr";
    if (fstat(fd, &found))
        return NULL;
    if (S_ISSOCK(found.st_mode)) {
        int domain = 0;
        socklen_t length = sizeof domain;
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
        return domain == AF_INET || domain == AF_INET6 ? "tcp" : NULL;
    }
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        return NULL;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, room, size - 1);
    if (length < 0)
        return NULL;
    room[length] = 0;
    return room;
}

__attribute__((noreturn)) static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static void freeze(void) {
    syscall(SYS_kill, getpid(), SIGSTOP);
    ahead_ns += jump_ns;
}

static void note(const char *call, const char *name, off_t offset, long length, const void *data) {
    char line[4200];
    if (journal < 0)
        return;
    int size = snprintf(line, sizeof line, "%s\t%lld\t%ld\t%s\n", call, (long long)offset, length,
                        name);
    if (syscall(SYS_write, journal, line, (size_t)size) < 0)
        die();
    if (bytes >= 0 && data && length > 0 && syscall(SYS_write, bytes, data, (size_t)length) < 0)
        die();
}

static int is_outside(const char *name) {
    return !strcmp(name, "tcp") || !strcmp(name, "stdout") || !strcmp(name, "stderr");
}

/* Take a step; return the error that it fails with, 0 if it is done, -1 if only half of it is. */
static int enter(const char *name) {
    pthread_mutex_lock(&lock);
    number++;
    if (mode == FAIL_ON && number >= at && !is_outside(name))
        return error;
    if (number != at)
        return 0;
    switch (mode) {
    case KILL_BEFORE: die();
    case STOP_BEFORE: freeze(); return 0;
    case KILL_AMID: return -1;
    case FAIL_ONCE: return strcmp(name, "tcp") ? error : ECONNRESET;
    default: return 0;
    }
}

static void leave(void) {
    if (number == at && (mode == KILL_AFTER || mode == KILL_AMID))
        die();
    if (number == at && mode == STOP_AFTER)
        freeze();
    pthread_mutex_unlock(&lock);
}

/* The body of a call with a buffer: `half` does it with fewer bytes. */
#define BUFFERED(call, fd, offset, data, length, whole, half)                                      \
    char room[4097];                                                                               \
    const char *name = watched(fd, room, sizeof room);                                             \
    if (!name)                                                                                     \
        return whole;                                                                              \
    int outcome = enter(name);                                                                     \
    ssize_t done = outcome > 0 ? -1 : outcome < 0 ? (half) : (whole);                              \
    int kept = outcome > 0 ? outcome : errno;                                                      \
    note(call, name, offset, done, data);                                                          \
    leave();                                                                                       \
    errno = kept;                                                                                  \
    return done

/* The body of a call without one. */
#define PLAIN(call, name, offset, whole)                                                           \
    int outcome = enter(name);                                                                     \
    int done = outcome > 0 ? -1 : (whole);                                                         \
    int kept = outcome > 0 ? outcome : errno;                                                      \
    note(call, name, offset, done, NULL);                                                          \
    leave();                                                                                       \
    errno = kept;                                                                                  \
    return done

static off_t position(int fd) { return lseek(fd, 0, SEEK_CUR); }

ssize_t write(int fd, const void *data, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    off_t offset = begun && fd > 2 ? position(fd) : 0;
    BUFFERED("write", fd, offset, data, length, real_write(fd, data, length),
             real_write(fd, data, length / 2));
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    BUFFERED("write", fd, offset, data, length, real_pwrite64(fd, data, length, offset),
             real_pwrite64(fd, data, length / 2, offset));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return pwrite64(fd, data, length, offset);
}

/* Nobody here writes to files from several buffers; it is counted all the same. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    BUFFERED("writev", fd, 0, NULL, 0, real_writev(fd, parts, count),
             real_writev(fd, parts, count / 2));
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    BUFFERED("send", fd, 0, NULL, length, real_send(fd, data, length, flags),
             real_send(fd, data, length / 2, flags));
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
               socklen_t size) {
    REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    BUFFERED("send", fd, 0, NULL, length, real_sendto(fd, data, length, flags, to, size),
             real_sendto(fd, data, length / 2, flags, to, size));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    BUFFERED("send", fd, 0, NULL, 0, real_sendmsg(fd, message, flags),
             real_sendmsg(fd, message, flags));
}

int fsync(int fd) {
    REAL(int, fsync, int);
    char room[4097];
    const char *name = watched(fd, room, sizeof room);
    if (!name)
        return real_fsync(fd);
    PLAIN("sync", name, 0, real_fsync(fd));
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    char room[4097];
    const char *name = watched(fd, room, sizeof room);
    if (!name)
        return real_fdatasync(fd);
    PLAIN("sync", name, 0, real_fdatasync(fd));
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    char room[4097];
    const char *name = watched(fd, room, sizeof room);
    if (!name)
        return real_ftruncate64(fd, length);
    PLAIN("truncate", name, length, real_ftruncate64(fd, length));
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* Return the whole path of a name that may be relative. */
static const char *whole(const char *name, char *room, size_t size) {
    if (*name == '/' || !getcwd(room, size))
        return name;
    size_t used = strlen(room);
    snprintf(room + used, size - used, "/%s", name);
    return room;
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (!begun)
        return real_rename(from, to);
    char first[2048], second[2048], both[4097];
    snprintf(both, sizeof both, "%s\t%s", whole(from, first, sizeof first),
             whole(to, second, sizeof second));
    PLAIN("rename", both, 0, real_rename(from, to));
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (!begun)
        return real_unlink(path);
    char room[4097];
    const char *name = whole(path, room, sizeof room);
    PLAIN("unlink", name, 0, real_unlink(path));
}

int mkdir(const char *path, mode_t rights) {
    REAL(int, mkdir, const char *, mode_t);
    if (!begun)
        return real_mkdir(path, rights);
    char room[4097];
    const char *name = whole(path, room, sizeof room);
    PLAIN("mkdir", name, 0, real_mkdir(path, rights));
}

/* Time: as it is, ahead by what a frozen process has slept through, or faster. */

static void shifted(clockid_t clock, struct timespec *now) {
    long long ns = now->tv_sec * 1000000000LL + now->tv_nsec;
    if (pace > 1) {
        struct timespec real;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &real);
        long long passed = (real.tv_sec * 1000000000LL + real.tv_nsec - pace_origin) * pace;
        ns = (clock == CLOCK_REALTIME ? pace_day : pace_origin) + passed;
    }
    ns += ahead_ns;
    now->tv_sec = ns / 1000000000LL;
    now->tv_nsec = ns % 1000000000LL;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real_clock_gettime(clock, now);
    int moves = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
    if (begun && result == 0 && moves && (pace > 1 || ahead_ns))
        shifted(clock, now);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return result;
}

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    REAL(int, nanosleep, const struct timespec *, struct timespec *);
    if (begun && impatient)
        return 0;
    long long ns = (wanted->tv_sec * 1000000000LL + wanted->tv_nsec) / (begun ? pace : 1);
    struct timespec shorter = {ns / 1000000000LL, ns % 1000000000LL};
    return real_nanosleep(&shorter, left);
}

int epoll_wait(int fd, struct epoll_event *events, int size, int timeout_ms) {
    REAL(int, epoll_wait, int, struct epoll_event *, int, int);
    if (begun && timeout_ms > 0)
        timeout_ms = (int)((timeout_ms + pace - 1) / pace);
    return real_epoll_wait(fd, events, size, timeout_ms);
}
