/* Running over a dataset: worker threads make its elements ahead, the caller takes them in order.
 *
 * Elements are numbered through all iterations. Those that are begun and not yet taken lie in a ring of slots.
 * Workers begin them in order; where an element is a batch, each of its rows is a piece of work by itself, so that
 * all workers are at one batch and it is there soon. A thread holds the lock only to see what there is to do and to
 * tell what it has done. Without threads, which a system may refuse, the caller does the same work when it wants an
 * element. */
#include "data/dataset.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { MOST_WORKERS = 1024, AHEAD = 2 };

/* An element in the making. */
typedef struct slot {
    cnn_place place;
    cnn_batch *batch; /* whose rows are made first; NULL: the element is one piece of work */
    int64_t pieces, given_out, done;
    bool ready;
    cnn_element element; /* empty if it is left out */
    cnn_status status;   /* what came instead of the element */
    char *message;
} slot;

typedef struct worker {
    cnn_iterator *iterator;
    cnn_maker maker;
    pthread_t thread;
} worker;

struct cnn_iterator {
    cnn_dataset *dataset;
    uint64_t iteration; /* the first */
    int64_t iterations, position;
    int64_t cardinality; /* INT64_MAX: no end */
    int64_t total;       /* elements of the run */
    int64_t ahead;       /* slots in the ring */
    slot *slots;
    cnn_spares spares;
    pthread_mutex_t lock; /* of the slots, `begun` and `taken` */
    pthread_cond_t wake;  /* there is work again */
    pthread_cond_t ready; /* an element is ready */
    int64_t begun, taken; /* elements */
    bool cancelled;
    worker *workers;
    int worker_count, thread_count;
    /* the caller's */
    int64_t ended;      /* iterations */
    int64_t left_out;   /* elements one after the other */
    int64_t patience;   /* how many may be */
    cnn_status failure; /* that ended the run */
    char *message;
    double waited;
};

static slot *slot_of(const cnn_iterator *it, int64_t number) {
    return &it->slots[number % it->ahead];
}

/* ---- work -------------------------------------------------------------------------------------------------- */

static void begin(cnn_iterator *it, int64_t number) {
    slot *s = slot_of(it, number);
    int64_t at = it->position + number;
    s->place.iteration = it->iteration + (uint64_t)(at / it->cardinality);
    s->place.position = at % it->cardinality;
    s->batch = cnn_batch_begin(it->dataset, s->place, &it->spares);
    s->pieces = s->batch ? cnn_batch_rows(s->batch) : 1;
}

/* A piece of the element begun last or, when all of it is given out, of the next. NULL: there is nothing to do. */
static slot *find_work(cnn_iterator *it, int64_t *piece) {
    slot *s = it->begun > it->taken ? slot_of(it, it->begun - 1) : NULL;
    if (!s || s->given_out == s->pieces) {
        if (it->begun == it->total || it->begun - it->taken == it->ahead) return NULL;
        begin(it, it->begun);
        s = slot_of(it, it->begun++);
    }
    *piece = s->given_out++;
    return s;
}

static void finish(cnn_iterator *it, slot *s, cnn_maker *maker) {
    cnn_element element = {0};
    maker->ready = s->batch;
    cnn_status status = cnn_dataset_make(it->dataset, s->place, maker, &element);
    maker->ready = NULL;
    char *message = status == CNN_OK ? NULL : cnn_strdup(cnn_error_message());
    cnn_batch_free(s->batch);
    pthread_mutex_lock(&it->lock);
    s->batch = NULL;
    s->element = element;
    s->status = status;
    s->message = message;
    s->ready = true;
    pthread_cond_signal(&it->ready);
    pthread_mutex_unlock(&it->lock);
}

static void do_piece(cnn_iterator *it, slot *s, int64_t piece, cnn_maker *maker) {
    if (s->batch) cnn_batch_make_row(s->batch, piece, maker);
    pthread_mutex_lock(&it->lock);
    bool last = ++s->done == s->pieces && !it->cancelled;
    pthread_mutex_unlock(&it->lock);
    if (last) finish(it, s, maker);
}

static void *work(void *argument) {
    worker *w = argument;
    cnn_iterator *it = w->iterator;
    cnn_parallel_alone();
    pthread_mutex_lock(&it->lock);
    while (!it->cancelled) {
        int64_t piece;
        slot *s = find_work(it, &piece);
        if (!s) {
            pthread_cond_wait(&it->wake, &it->lock);
            continue;
        }
        pthread_mutex_unlock(&it->lock);
        do_piece(it, s, piece, &w->maker);
        pthread_mutex_lock(&it->lock);
    }
    pthread_mutex_unlock(&it->lock);
    cnn_maker_close(&w->maker, it->dataset);
    return NULL;
}

/* ---- taking ------------------------------------------------------------------------------------------------ */

/* Some tens of milliseconds, so that an interruption is seen soon. Called with the lock. */
static void wait_a_little(cnn_iterator *it) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 50 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&it->ready, &it->lock, &until);
}

/* Does a piece of work in the caller's thread. Called with the lock. */
static void work_here(cnn_iterator *it) {
    int64_t piece;
    slot *s = find_work(it, &piece);
    pthread_mutex_unlock(&it->lock);
    if (s) do_piece(it, s, piece, &it->workers[0].maker);
    pthread_mutex_lock(&it->lock);
}

static cnn_status wait_for(cnn_iterator *it, const slot *s) {
    cnn_status status = CNN_OK;
    pthread_mutex_lock(&it->lock);
    double since = s->ready ? 0 : cnn_seconds();
    while (!s->ready && status == CNN_OK) {
        if (it->thread_count > 0)
            wait_a_little(it);
        else
            work_here(it);
        if (!s->ready && cnn_interrupted()) status = cnn_fail(CNN_ERROR_INTERRUPTED, "interrupted");
    }
    if (since > 0) it->waited += cnn_seconds() - since;
    pthread_mutex_unlock(&it->lock);
    return status;
}

static slot take(cnn_iterator *it) {
    pthread_mutex_lock(&it->lock);
    slot *s = slot_of(it, it->taken++), taken = *s;
    *s = (slot){0};
    pthread_cond_broadcast(&it->wake);
    pthread_mutex_unlock(&it->lock);
    return taken;
}

/* True where an iteration is over whose end was not told yet, and when all are. */
static bool at_end(cnn_iterator *it) {
    if (it->ended == it->iterations) return true;
    if (it->cardinality > 0 && (it->position + it->taken) / it->cardinality <= it->ended) return false;
    it->ended++;
    return true;
}

static cnn_status fail_for_good(cnn_iterator *it, cnn_status status, char *message) {
    it->failure = status;
    it->message = message;
    return cnn_fail(status, "%s", message ? message : "out of memory");
}

static cnn_status fail_empty(cnn_iterator *it) {
    cnn_fail(CNN_ERROR_FORMAT,
             "iterator: the last %" PRId64 " elements were all left out, in a dataset without end",
             it->left_out);
    return fail_for_good(it, CNN_ERROR_FORMAT, cnn_strdup(cnn_error_message()));
}

cnn_status cnn_iterator_next(cnn_iterator *it, cnn_element *element) {
    for (;;) {
        if (it->failure != CNN_OK) return fail_for_good(it, it->failure, it->message);
        if (cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "interrupted");
        if (at_end(it)) {
            *element = (cnn_element){0};
            return CNN_OK;
        }
        CNN_TRY(wait_for(it, slot_of(it, it->taken)));
        slot s = take(it);
        if (s.status != CNN_OK) return fail_for_good(it, s.status, s.message);
        if (s.element.count > 0) {
            it->left_out = 0;
            *element = s.element;
            return CNN_OK;
        }
        if (++it->left_out >= it->patience) return fail_empty(it);
    }
}

double cnn_iterator_waited(const cnn_iterator *it) {
    return it->waited;
}

/* ---- beginning and end ------------------------------------------------------------------------------------- */

static cnn_status check_options(const cnn_iterator_options *o) {
    if (o->workers < 0 || o->workers > MOST_WORKERS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "iterator: 'workers' must be between 0 and %d, got %d",
                        MOST_WORKERS, o->workers);
    if (o->iteration < 0 || o->iterations < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "iterator: 'iteration' and 'iterations' must be at least 0, got %" PRId64
                        " and %" PRId64,
                        o->iteration, o->iterations);
    if (o->position < 0 || o->position > INT32_MAX)
        return cnn_fail(CNN_ERROR_ARGUMENT, "iterator: 'position' must be between 0 and %d, got %" PRId64,
                        INT32_MAX, o->position);
    return CNN_OK;
}

static void set_course(cnn_iterator *it, const cnn_iterator_options *o) {
    int64_t size = it->dataset->cardinality;
    it->iterations = o->iterations == 0 ? 1 : o->iterations;
    it->cardinality = size < 0 ? INT64_MAX : size;
    it->position = o->position < it->cardinality ? o->position : it->cardinality;
    if (__builtin_mul_overflow(it->cardinality, it->iterations, &it->total)) it->total = INT64_MAX;
    it->total -= it->position;
    int64_t round = size < 0 ? cnn_dataset_round(it->dataset) : INT64_MAX;
    if (__builtin_mul_overflow(round, INT64_C(100), &it->patience)) it->patience = INT64_MAX;
}

static uint64_t first_iteration(cnn_iterator *it, const cnn_iterator_options *o) {
    if (o->numbered) return (uint64_t)o->iteration;
    return __atomic_fetch_add(&it->dataset->iterations, (uint64_t)it->iterations, __ATOMIC_RELAXED);
}

static cnn_status allocate(cnn_iterator *it) {
    int64_t wanted = cnn_dataset_ahead(it->dataset);
    it->ahead = wanted > 0 ? wanted : it->worker_count + AHEAD;
    if (it->ahead > it->total) it->ahead = it->total > 0 ? it->total : 1;
    size_t bytes = 0;
    bool fits = !__builtin_mul_overflow((size_t)it->ahead, sizeof *it->slots, &bytes);
    if (!fits || !(it->slots = cnn_calloc(bytes))) return cnn_fail_memory(bytes);
    CNN_TRY(cnn_spares_open(&it->spares, 2 * it->ahead + 4)); /* two parts, and two batches with the caller */
    bytes = (size_t)it->worker_count * sizeof *it->workers;
    if (!(it->workers = cnn_calloc(bytes))) return cnn_fail_memory(bytes);
    for (int i = 0; i < it->worker_count; i++) {
        it->workers[i].iterator = it;
        CNN_TRY(cnn_maker_open(&it->workers[i].maker, it->dataset, &it->cancelled));
    }
    return CNN_OK;
}

/* As many as the system gives; signals are for the program's own threads. */
static void start_threads(cnn_iterator *it) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; it->thread_count < it->worker_count; it->thread_count++) {
        worker *w = &it->workers[it->thread_count];
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

cnn_status cnn_iterator_new(cnn_iterator **out, cnn_dataset *dataset, const cnn_iterator_options *options) {
    static const cnn_iterator_options usual = {0};
    const cnn_iterator_options *o = options ? options : &usual;
    CNN_TRY(check_options(o));
    if (!dataset) return cnn_fail(CNN_ERROR_ARGUMENT, "iterator: expected a dataset, got none");
    cnn_iterator *it = cnn_calloc(sizeof *it);
    if (!it) return cnn_fail_memory(sizeof *it);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&it->lock, NULL);
    pthread_cond_init(&it->wake, NULL);
    pthread_cond_init(&it->ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    it->dataset = cnn_dataset_retain(dataset);
    int threads = cnn_threads(); /* asked in any case: workers' loops look at it */
    it->worker_count = o->workers > 0 ? o->workers : threads;
    set_course(it, o);
    cnn_status status = allocate(it);
    if (status != CNN_OK) {
        cnn_iterator_free(it);
        return status;
    }
    it->iteration = first_iteration(it, o);
    start_threads(it);
    *out = it;
    return CNN_OK;
}

static void stop_threads(cnn_iterator *it) {
    pthread_mutex_lock(&it->lock);
    __atomic_store_n(&it->cancelled, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&it->wake);
    pthread_mutex_unlock(&it->lock);
    for (int i = 0; i < it->thread_count; i++) pthread_join(it->workers[i].thread, NULL);
}

void cnn_iterator_free(cnn_iterator *it) {
    if (!it) return;
    stop_threads(it);
    for (int i = 0; i < it->worker_count && it->workers; i++)
        cnn_maker_close(&it->workers[i].maker, it->dataset);
    for (int64_t i = 0; i < it->ahead && it->slots; i++) {
        cnn_batch_free(it->slots[i].batch);
        cnn_element_clear(&it->slots[i].element);
        cnn_free(it->slots[i].message);
    }
    cnn_spares_close(&it->spares);
    cnn_free(it->slots);
    cnn_free(it->workers);
    cnn_free(it->message);
    cnn_dataset_release(it->dataset);
    pthread_mutex_destroy(&it->lock);
    pthread_cond_destroy(&it->wake);
    pthread_cond_destroy(&it->ready);
    cnn_free(it);
}
