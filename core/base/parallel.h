/* Threads and interruption.
 *
 * Work is cut into tasks by sizes alone, never by the number of threads; which thread runs a task is left
 * open, so whatever a task sums it keeps to itself, and the caller adds the parts in the order of the tasks.
 * That is what makes results the same, bit for bit, for any number of threads. */
#ifndef CNN_BASE_PARALLEL_H
#define CNN_BASE_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

/* thread is in [0, cnn_threads()): an index for memory per thread. */
typedef void cnn_task(void *context, int64_t task, int thread);

/* Runs tasks 0 … count-1, on several threads unless called from within a task. A single task is no loop: it is run as if
 * it had been called, and may have a loop of its own. */
void cnn_parallel(int64_t count, cnn_task *body, void *context);

/* Ranges of at most `grain` elements of [0, size) as tasks. */
typedef void cnn_range_task(void *context, int64_t from, int64_t to);
void cnn_parallel_ranges(int64_t size, int64_t grain, cnn_range_task *body, void *context);

/* Loops of this thread are from now on done by it alone: for workers, of which there are as many as processors. */
void cnn_parallel_alone(void);

/* True inside a task, but for a single one. */
bool cnn_in_parallel(void);

#endif
