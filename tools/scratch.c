/* tools/scratch.c - see scratch.h. */
#include "tools/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/eal.h"
#include "tools/host.h"
#include "tools/tools.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of `path` and what it names */
static char path[MR_SCRATCH_MAX];                        /* "": there is none */

/* ------------------------------------------------------------------ the folder */

const char *mr_scratch_make(struct mr_fault *fault)
{
    const char *parent = getenv("TMPDIR");

    pthread_mutex_lock(&lock);
    snprintf(path, sizeof(path), "%s/millrace-bench-XXXXXX",
             parent == NULL || *parent == '\0' ? "/tmp" : parent);
    bool is_made = mkdtemp(path) != NULL;
    if (!is_made) {
        mr_fault_set(fault, errno,
                     "cannot make %s: %s; set TMPDIR to a folder that may be written to", path,
                     strerror(errno));
        path[0] = '\0';
    }
    pthread_mutex_unlock(&lock);
    return is_made ? path : NULL;
}

static void remove_files(int folder)
{
    DIR *list = fdopendir(folder);
    const struct dirent *entry;

    if (list == NULL) {
        close(folder);
        return;
    }
    while ((entry = readdir(list)) != NULL)
        (void)unlinkat(dirfd(list), entry->d_name, 0); /* "." and ".." are none */
    closedir(list);
}

/* Under the lock. */
static void remove_folder(void)
{
    int folder = path[0] == '\0' ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder >= 0)
        remove_files(folder);
    if (path[0] != '\0')
        rmdir(path);
    path[0] = '\0';
}

void mr_scratch_remove(void)
{
    pthread_mutex_lock(&lock);
    remove_folder();
    pthread_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------ signals */

static int error_fd; /* standard error, which leads nowhere while DPDK starts */

static void *guard(void *command)
{
    while (!mr_signal_wait(3600 * MR_SECOND)) {
    }
    pthread_mutex_lock(&lock); /* for good: nothing is made any more */
    remove_folder();
    rmdir(mr_eal_folder()); /* which DPDK may be making just now */
    dprintf(error_fd, "millrace %s: interrupted\n", (const char *)command);
    _exit(MR_EXIT_FAILED);
}

bool mr_scratch_guard(const char *command, struct mr_fault *fault)
{
    pthread_t thread;

    mr_signal_block();
    error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    int error = pthread_create(&thread, NULL, guard, (void *)(uintptr_t)command);
    if (error != 0) {
        mr_fault_set(fault, error, "cannot start a thread: %s; raise the limit (ulimit -u)",
                     strerror(error));
        return false;
    }
    pthread_detach(thread);
    return true;
}
