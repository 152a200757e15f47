#include "base/parallel.h"
#include "base/status.h"

#include <omp.h>
#include <signal.h>

static int thread_count;
static volatile sig_atomic_t interrupt_requested;

cnn_status cnn_set_threads(int count) {
    if (count < 1 || count > 1024)
        return cnn_fail(CNN_ERROR_ARGUMENT, "set_threads: expected 1 to 1024 threads, got %d", count);
    thread_count = count;
    return CNN_OK;
}

int cnn_threads(void) {
    if (thread_count == 0) thread_count = omp_get_num_procs();
    return thread_count;
}

bool cnn_in_parallel(void) {
    return omp_in_parallel();
}

void cnn_parallel(int64_t count, cnn_task *body, void *context) {
    int threads = cnn_threads() < count ? cnn_threads() : (int)count;
    if (threads <= 1 || omp_in_parallel()) {
        for (int64_t i = 0; i < count; i++) body(context, i, omp_in_parallel() ? omp_get_thread_num() : 0);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < count; i++) body(context, i, omp_get_thread_num());
}

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

void cnn_interrupt(void) {
    interrupt_requested = 1;
}

void cnn_interrupt_clear(void) {
    interrupt_requested = 0;
}

bool cnn_interrupted(void) {
    return interrupt_requested;
}
