/* A pool of threads for one loop at a time.
 *
 * The caller publishes a job and takes part in it; threads take tasks off a shared counter. A pool of our own, because
 * a training step is many short loops: waiting threads spin for some tens of microseconds, so that the next loop finds
 * them awake, and then sleep, so that they leave the processor to others when there is nothing to do or when a task is
 * held up. A loop begun while another runs - inside a task, or by another thread - is done by its caller alone.
 *
 * A job's fields are written while it is closed and nobody is inside. A worker counts itself inside before it looks
 * whether the job is open, so no worker ever reads a job that is being replaced. */
#include "base/parallel.h"
#include "base/status.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MOST_THREADS = 1024, SPINS = 4000 };

static struct {
    pthread_mutex_t busy;          /* held by the thread whose job is running */
    pthread_mutex_t lock;          /* of the two conditions */
    pthread_cond_t wake, finished; /* a new job; a job's last task */
    int workers;
    atomic_uint generation; /* counts jobs */
    atomic_bool open;
    atomic_int inside; /* workers that look at the job */
    atomic_int sleepers;
    atomic_bool caller_sleeps;
    cnn_task *body;
    void *context;
    int64_t count;
    int threads; /* that may take part */
    atomic_llong next, done;
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .finished = PTHREAD_COND_INITIALIZER};

static int thread_count;
static _Thread_local bool in_task;
static _Thread_local int own_index;

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes tasks until there are none left. */
static void run_tasks(int thread) {
    in_task = true;
    own_index = thread;
    for (;;) {
        int64_t task = atomic_fetch_add(&pool.next, 1);
        if (task >= pool.count) break;
        pool.body(pool.context, task, thread);
        if (atomic_fetch_add(&pool.done, 1) + 1 == pool.count && atomic_load(&pool.caller_sleeps)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.finished);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    in_task = false;
    own_index = 0;
}

static void wait_for_job(unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool.generation) != seen) return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (atomic_load(&pool.generation) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *work(void *argument) {
    int thread = (int)(intptr_t)argument;
    unsigned seen = 0;
    for (;;) {
        wait_for_job(seen);
        seen = atomic_load(&pool.generation);
        atomic_fetch_add(&pool.inside, 1);
        if (atomic_load(&pool.open) && thread < pool.threads) run_tasks(thread);
        atomic_fetch_sub(&pool.inside, 1);
    }
    return NULL;
}

/* Starts workers up to threads - 1; with fewer, where the system gives no more, the work is still done. Signals are
 * for the program's own threads. */
static void start_workers(int threads) {
    sigset_t all, before;
    if (pool.workers >= threads - 1) return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < threads - 1) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(pool.workers + 1)) != 0) break;
        pthread_detach(thread);
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void publish(int64_t count, cnn_task *body, void *context, int threads) {
    while (atomic_load(&pool.inside) > 0) relax();
    pool.body = body;
    pool.context = context;
    pool.count = count;
    pool.threads = threads;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.done, 0);
    atomic_store(&pool.open, true);
    atomic_fetch_add(&pool.generation, 1);
    if (atomic_load(&pool.sleepers) == 0) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void wait_for_tasks(void) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool.done) == pool.count) return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.caller_sleeps, true);
    while (atomic_load(&pool.done) != pool.count) pthread_cond_wait(&pool.finished, &pool.lock);
    atomic_store(&pool.caller_sleeps, false);
    pthread_mutex_unlock(&pool.lock);
}

void cnn_parallel(int64_t count, cnn_task *body, void *context) {
    int threads = cnn_threads() < count ? cnn_threads() : (int)count;
    if (threads <= 1 || in_task || pthread_mutex_trylock(&pool.busy) != 0) {
        bool outer = in_task;
        in_task = outer || count > 1;
        for (int64_t i = 0; i < count; i++) body(context, i, own_index);
        in_task = outer;
        return;
    }
    start_workers(threads);
    publish(count, body, context, threads);
    run_tasks(0);
    wait_for_tasks();
    atomic_store(&pool.open, false);
    pthread_mutex_unlock(&pool.busy);
}

void cnn_parallel_alone(void) {
    in_task = true;
}

bool cnn_in_parallel(void) {
    return in_task;
}

/* ---- number of threads ----------------------------------------------------------------------------------- */

cnn_status cnn_set_threads(int count) {
    if (count < 1 || count > MOST_THREADS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "set_threads: expected 1 to %d threads, got %d", MOST_THREADS,
                        count);
    thread_count = count;
    return CNN_OK;
}

int cnn_threads(void) {
    if (thread_count == 0) {
        cpu_set_t set;
        long count =
            sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
        thread_count = count < 1 ? 1 : count > MOST_THREADS ? MOST_THREADS : (int)count;
    }
    return thread_count;
}

/* ---- ranges ---------------------------------------------------------------------------------------------- */

typedef struct ranges {
    int64_t size, grain;
    cnn_range_task *body;
    void *context;
} ranges;

static void run_range(void *context, int64_t task, int thread) {
    const ranges *r = context;
    (void)thread;
    int64_t from = task * r->grain, to = from + r->grain;
    r->body(r->context, from, to < r->size ? to : r->size);
}

void cnn_parallel_ranges(int64_t size, int64_t grain, cnn_range_task *body, void *context) {
    ranges r = {size, grain, body, context};
    cnn_parallel((size + grain - 1) / grain, run_range, &r);
}

/* ---- interruption ---------------------------------------------------------------------------------------- */

static atomic_int interrupt_requested; /* lock-free: set by signal handlers too */

void cnn_interrupt(void) {
    interrupt_requested = 1;
}

void cnn_interrupt_clear(void) {
    interrupt_requested = 0;
}

bool cnn_interrupted(void) {
    return interrupt_requested;
}
