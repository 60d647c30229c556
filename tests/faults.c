/* Stops a process at its FAULT_AT-th file operation below the folder FAULT_UNDER: FAULT_KIND=kill ends it there,
   FAULT_KIND=ENOSPC or EIO lets that operation and all later ones that write fail. Preloaded by tests/faults.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int count;

static int below(const char *path) {
    const char *under = getenv("FAULT_UNDER");
    if (!under || !path) return 0;
    if (path[0] != '/') return 1; /* the tests run in that folder */
    return strncmp(path, under, strlen(under)) == 0;
}

static int fd_below(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return path[0] == '/' && below(path);
}

/* 1 when the operation is to fail. */
static int fault(void) {
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
    if (!at || !kind) return 0;
    int now = ++count;
    if (now != atoi(at)) return 0;
    static const char note[] = "fault:\n";
    (void)!write(2, note, sizeof note - 1);
    if (strcmp(kind, "kill") == 0) kill(getpid(), SIGKILL);
    errno = strcmp(kind, "EIO") == 0 ? EIO : ENOSPC;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opening(const char *path, int flags) { return (flags & (O_CREAT | O_WRONLY | O_RDWR)) && below(path); }

int open(const char *path, int flags, ...) {
    va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list);
    if (opening(path, flags) && fault()) return -1;
    return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list);
    if (opening(path, flags) && fault()) return -1;
    return REAL(open64)(path, flags, mode);
}
ssize_t write(int fd, const void *bytes, size_t size) {
    if (fd > 2 && fd_below(fd) && fault()) return -1;
    return REAL(write)(fd, bytes, size);
}
int fsync(int fd) { return fd_below(fd) && fault() ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fd_below(fd) && fault() ? -1 : REAL(fdatasync)(fd); }
int fchmod(int fd, mode_t mode) { return fd_below(fd) && fault() ? -1 : REAL(fchmod)(fd, mode); }
int rename(const char *from, const char *to) { return below(to) && fault() ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return below(path) && fault() ? -1 : REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { return below(path) && fault() ? -1 : REAL(mkdir)(path, mode); }
int rmdir(const char *path) { return below(path) && fault() ? -1 : REAL(rmdir)(path); }
