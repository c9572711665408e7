/* tools/bench_attached.c - see bench_attached.h. */
#include "tools/bench_attached.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAP_US 2000

static struct mr_bench_task *make_task(void)
{
    void *memory = mmap(NULL, sizeof(struct mr_bench_task), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void move_to(uint32_t cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set); /* wanted, not needed */
}

static int run(const struct mr_bench_attached *a)
{
    move_to(a->task->cpu);
    return a->function(a->task, a->argument);
}

/* ------------------------------------------------------------------ beginning */

/* The child's whole life. */
static _Noreturn void be_child(const struct mr_bench_attached *a, int go_fd, pid_t parent)
{
    char byte;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || read(go_fd, &byte, 1) != 1)
        _exit(0); /* nobody wants it any more */
    _exit(run(a) == 0 ? 0 : 1);
}

bool mr_bench_attached_fork(struct mr_bench_attached *a, mr_bench_task_function function,
                            void *argument, struct mr_fault *fault)
{
    int ends[2] = {-1, -1};
    pid_t parent = getpid();

    *a = (struct mr_bench_attached){
        .task = make_task(), .function = function, .argument = argument, .go_fd = -1};
    if (a->task != NULL && pipe(ends) == 0)
        a->pid = fork();
    if (ends[0] < 0 || a->pid < 0) {
        mr_fault_set(fault, errno, "cannot start a process for the application: %s",
                     strerror(errno));
        if (ends[0] >= 0) {
            close(ends[0]);
            close(ends[1]);
        }
        if (a->task != NULL)
            munmap(a->task, sizeof(*a->task));
        a->task = NULL;
        return false;
    }
    if (a->pid == 0) {
        close(ends[1]);
        be_child(a, ends[0], parent);
    }
    close(ends[0]);
    a->go_fd = ends[1];
    return true;
}

bool mr_bench_attached_thread(struct mr_bench_attached *a, mr_bench_task_function function,
                              void *argument, struct mr_fault *fault)
{
    *a = (struct mr_bench_attached){
        .task = make_task(), .function = function, .argument = argument, .go_fd = -1};
    if (a->task == NULL)
        mr_fault_set(fault, errno, "not enough memory for an application");
    return a->task != NULL;
}

static void *thread_main(void *argument)
{
    struct mr_bench_attached *a = argument;

    a->result = run(a);
    atomic_store_explicit(&a->is_over, true, memory_order_release); /* pairs with the acquire in
                                                                       ..._is_alive */
    return NULL;
}

void mr_bench_attached_go(struct mr_bench_attached *a, const char *control, uint64_t shards,
                          uint32_t cpu)
{
    snprintf(a->task->control, sizeof(a->task->control), "%s", control);
    a->task->shards = shards;
    a->task->cpu = cpu;
    a->task->is_by_reference = a->pid == 0;
    if (a->pid == 0) {
        a->has_gone = pthread_create(&a->thread, NULL, thread_main, a) == 0;
        return;
    }
    a->has_gone = write(a->go_fd, "", 1) == 1;
    close(a->go_fd);
    a->go_fd = -1;
}

/* ------------------------------------------------------------------ figures */

bool mr_bench_attached_is_alive(struct mr_bench_attached *a)
{
    siginfo_t info = {0};

    if (!a->has_gone)
        return false;
    if (a->pid == 0) /* acquire: pairs with the release in thread_main */
        return !atomic_load_explicit(&a->is_over, memory_order_acquire);
    return waitid(P_PID, (id_t)a->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

double mr_bench_attached_cpu(const struct mr_bench_attached *a)
{
    clockid_t clock;
    struct timespec t;
    int error = a->pid == 0 ? pthread_getcpuclockid(a->thread, &clock)
                            : clock_getcpuclockid(a->pid, &clock);

    if (!a->has_gone || error != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t mr_bench_attached_bytes(const struct mr_bench_attached *a)
{
    unsigned long long kib = 0;
    char text[128];

    if (a->pid == 0)
        return 0;
    snprintf(text, sizeof(text), "/proc/%d/smaps_rollup", (int)a->pid);
    FILE *f = fopen(text, "r");
    if (f == NULL)
        return 0;
    while (fgets(text, sizeof(text), f) != NULL && sscanf(text, "Anonymous: %llu kB", &kib) != 1) {
    }
    fclose(f);
    return kib * 1024;
}

/* ------------------------------------------------------------------ the end */

static bool join_process(struct mr_bench_attached *a, double patience_s, struct mr_fault *fault)
{
    int status = 0;

    if (a->go_fd >= 0) { /* it never went */
        close(a->go_fd);
        kill(a->pid, SIGKILL);
        waitpid(a->pid, &status, 0);
        return true;
    }
    for (double waited = 0; waited < patience_s; waited += NAP_US * 1e-6) {
        if (waitpid(a->pid, &status, WNOHANG) == a->pid) {
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return true;
            mr_fault_set(fault, EIO, "the application's process ended with %s %d: %s",
                         WIFEXITED(status) ? "status" : "signal",
                         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                         a->task->fault.text);
            return false;
        }
        usleep(NAP_US);
    }
    kill(a->pid, SIGKILL);
    waitpid(a->pid, &status, 0);
    mr_fault_set(fault, ETIMEDOUT, "the application's process did not end, and was killed");
    return false;
}

static bool join_thread(struct mr_bench_attached *a, struct mr_fault *fault)
{
    pthread_join(a->thread, NULL);
    if (a->result != 0)
        mr_fault_set(fault, EIO, "the application's thread failed: %s", a->task->fault.text);
    return a->result == 0;
}

bool mr_bench_attached_end(struct mr_bench_attached *a, double patience_s, struct mr_fault *fault)
{
    if (a->task == NULL)
        return true;
    if (a->pid != 0)
        return join_process(a, patience_s, fault);
    return !a->has_gone || join_thread(a, fault);
}

void mr_bench_attached_free(struct mr_bench_attached *a)
{
    if (a->task != NULL)
        munmap(a->task, sizeof(*a->task));
    a->task = NULL;
}
