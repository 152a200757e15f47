/* Worker threads: errors in their turn, stopping at any time, interruption, exhausted memory, refused threads. */
#include "datasets.h"

#include "base/parallel.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

/* ---- threads that a test may refuse ------------------------------------------------------------------------ */

static int threads_allowed = 1000;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (threads_allowed-- <= 0) return EAGAIN;
    if (!create) *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return create(thread, attributes, start, argument);
}

/* ---- a mapper that does as it is told ---------------------------------------------------------------------- */

static struct orders {
    int fail_from;     /* the numbers from here on fail; 0: none */
    cnn_status status; /* with this */
    int block_at;      /* wait here for `go` or to be cancelled; 0: nowhere */
    atomic_bool go;
    atomic_int blocked, applied, opened, closed;
    cnn_status open_status;
    bool last_rows_first; /* later numbers take less time */
} orders;

typedef struct state {
    pthread_t thread;
    const bool *cancelled;
} state;

static cnn_status open_state(void **worker, void *data, const bool *cancelled) {
    assert_ptr_equal(data, &orders);
    if (orders.open_status != CNN_OK) return cnn_fail(orders.open_status, "not today");
    state *s = cnn_malloc(sizeof *s);
    if (!s) return cnn_fail_memory(sizeof *s);
    *s = (state){pthread_self(), cancelled};
    atomic_fetch_add(&orders.opened, 1);
    *worker = s;
    return CNN_OK;
}

static void close_state(void *worker) {
    assert_true(pthread_equal(((state *)worker)->thread, pthread_self()));
    atomic_fetch_add(&orders.closed, 1);
    cnn_free(worker);
}

static cnn_status obey(void *worker, void *data, cnn_element *element, cnn_random *random) {
    const state *s = worker;
    int number = cnn_i32(element->parts[0])[0];
    (void)data;
    (void)random;
    assert_true(pthread_equal(s->thread, pthread_self()));
    atomic_fetch_add(&orders.applied, 1);
    if (orders.last_rows_first) usleep((unsigned)(20 - number % 20) * 100);
    if (orders.fail_from > 0 && number >= orders.fail_from)
        return cnn_fail(orders.status, "flip.lua:%d: no", number);
    if (orders.block_at == 0 || number < orders.block_at) return CNN_OK;
    atomic_fetch_add(&orders.blocked, 1);
    while (!orders.go && !__atomic_load_n(s->cancelled, __ATOMIC_RELAXED)) usleep(500);
    return orders.go ? CNN_OK : cnn_fail(CNN_ERROR_CALLBACK, "gave up");
}

static const cnn_mapper obedient = {.open = open_state, .apply = obey, .close = close_state};

static cnn_dataset *obeying(int count, struct orders what) {
    cnn_dataset *dataset = numbers(count);
    orders = what;
    OVER(dataset, cnn_dataset_map, input, &obedient, &orders);
    return dataset;
}

static cnn_iterator *iterate(cnn_dataset *dataset, int workers, int64_t iterations) {
    cnn_iterator *iterator;
    OK(cnn_iterator_new(&iterator, dataset,
                        &(cnn_iterator_options){.workers = workers, .iterations = iterations}));
    return iterator;
}

/* Takes an element and gives the first number in it; -1 at an end. */
static int take(cnn_iterator *iterator) {
    cnn_element element;
    OK(cnn_iterator_next(iterator, &element));
    int number = element.count ? cnn_i32(element.parts[0])[0] : -1;
    cnn_element_clear(&element);
    return number;
}

static void finish(cnn_iterator *iterator, cnn_dataset *dataset) {
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    assert_int_equal(orders.opened, orders.closed);
}

static bool soon(atomic_int *counter, int count) {
    for (int i = 0; i < 4000 && *counter < count; i++) usleep(500);
    return *counter >= count;
}

/* ---- errors ------------------------------------------------------------------------------------------------ */

static void errors_come_in_their_turn(void **unused) {
    (void)unused;
    for (int workers = 1; workers <= 5; workers += 2) {
        cnn_element untouched = {.count = 7};
        cnn_dataset *dataset = obeying(
            12, (struct orders){.fail_from = 6, .status = CNN_ERROR_CALLBACK, .last_rows_first = true});
        cnn_iterator *iterator = iterate(dataset, workers, 2);
        for (int i = 0; i < 6; i++) assert_int_equal(take(iterator), i);
        for (int i = 0; i < 2; i++) { /* and it stays so */
            assert_fails(cnn_iterator_next(iterator, &untouched), CNN_ERROR_CALLBACK,
                         "sample 7: flip.lua:6: no");
            assert_int_equal(untouched.count, 7);
        }
        finish(iterator, dataset);
    }
}

static void of_the_rows_of_a_batch_the_first_error_counts(void **unused) {
    (void)unused;
    for (int workers = 1; workers <= 5; workers += 2) {
        cnn_element element;
        cnn_dataset *dataset =
            obeying(20, (struct orders){.fail_from = 7, .status = CNN_ERROR_FORMAT, .last_rows_first = true});
        OVER(dataset, cnn_dataset_batch, input, 5, false);
        cnn_iterator *iterator = iterate(dataset, workers, 1);
        assert_int_equal(take(iterator), 0);
        assert_fails(cnn_iterator_next(iterator, &element), CNN_ERROR_FORMAT, "sample 8: flip.lua:7: no");
        finish(iterator, dataset);
    }
}

static void a_map_over_batches_names_the_batch(void **unused) {
    (void)unused;
    cnn_element element;
    cnn_dataset *dataset = numbers(6);
    orders = (struct orders){.fail_from = 2, .status = CNN_ERROR_CALLBACK};
    OVER(dataset, cnn_dataset_batch, input, 2, false);
    OVER(dataset, cnn_dataset_map, input, &obedient, &orders);
    cnn_iterator *iterator = iterate(dataset, 3, 1);
    assert_int_equal(take(iterator), 0);
    assert_fails(cnn_iterator_next(iterator, &element), CNN_ERROR_CALLBACK,
                 "batch 2 (sample 3 to sample 4): flip.lua:2: no");
    finish(iterator, dataset);
}

static void what_does_not_open_is_an_error(void **unused) {
    (void)unused;
    cnn_element element;
    cnn_dataset *dataset = obeying(6, (struct orders){.open_status = CNN_ERROR_ARGUMENT});
    cnn_iterator *iterator = iterate(dataset, 2, 1);
    assert_fails(cnn_iterator_next(iterator, &element), CNN_ERROR_ARGUMENT, "not today");
    finish(iterator, dataset);
}

static void options_are_checked(void **unused) {
    (void)unused;
    static const cnn_iterator_options wrong[] = {{.workers = -1},
                                                 {.workers = 5000},
                                                 {.iterations = -1},
                                                 {.position = -1},
                                                 {.numbered = true, .iteration = -1}};
    cnn_dataset *dataset = numbers(3);
    cnn_iterator *iterator = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_fails(cnn_iterator_new(&iterator, dataset, &wrong[i]), CNN_ERROR_ARGUMENT, "must be");
    assert_fails(cnn_iterator_new(&iterator, NULL, NULL), CNN_ERROR_ARGUMENT, "got none");
    assert_null(iterator);
    cnn_iterator_free(NULL);
    cnn_dataset_release(dataset);
}

/* ---- the run ----------------------------------------------------------------------------------------------- */

static void iterations_end(void **unused) {
    (void)unused;
    cnn_dataset *dataset = numbers(2), *none = numbers(0);
    cnn_iterator_options options = {.numbered = true, .iterations = 2, .position = 2};
    assert_string_equal(run_with(dataset, &options), "| 0 1 | ");
    options.position = 100;
    assert_string_equal(run_with(dataset, &options), "| 0 1 | ");
    options.position = 1;
    assert_string_equal(run_with(dataset, &options), "1 | 0 1 | ");
    assert_string_equal(run_with(none, &options), "| | ");
    cnn_dataset_release(dataset);
    cnn_dataset_release(none);
}

static void workers_go_on_into_the_next_iteration(void **unused) {
    (void)unused;
    cnn_dataset *dataset = obeying(3, (struct orders){0});
    cnn_iterator *iterator = iterate(dataset, 2, 2);
    for (int i = 0; i < 3; i++) assert_int_equal(take(iterator), i);
    assert_true(soon(&orders.applied, 6));
    finish(iterator, dataset);
}

static void prefetch_bounds_how_far_ahead(void **unused) {
    (void)unused;
    cnn_dataset *dataset = obeying(40, (struct orders){0});
    OVER(dataset, cnn_dataset_prefetch, input, 9); /* of rows: no batches */
    OVER(dataset, cnn_dataset_batch, input, 4, false);
    OVER(dataset, cnn_dataset_prefetch, input, 2);
    OVER(dataset, cnn_dataset_take, input, -1);
    cnn_iterator *iterator = iterate(dataset, 3, 1);
    assert_true(soon(&orders.applied, 8));
    usleep(20000);
    assert_int_equal(orders.applied, 8);
    assert_int_equal(take(iterator), 0);
    assert_true(soon(&orders.applied, 12));
    usleep(20000);
    assert_int_equal(orders.applied, 12);
    finish(iterator, dataset);
    assert_fails(cnn_dataset_prefetch(&dataset, NULL, -1), CNN_ERROR_ARGUMENT, "at least 0");
}

static cnn_status look_around(void *worker, void *data, cnn_element *element, cnn_random *random) {
    sigset_t blocked;
    (void)worker;
    (void)element;
    (void)random;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    *(bool *)data = cnn_in_parallel() && sigismember(&blocked, SIGINT);
    return CNN_OK;
}

static void workers_take_no_signals_and_no_threads(void **unused) {
    (void)unused;
    bool alone = false;
    cnn_mapper mapper = {.apply = look_around};
    cnn_dataset *dataset = numbers(1);
    OVER(dataset, cnn_dataset_map, input, &mapper, &alone);
    expect(dataset, "0 | ");
    assert_true(alone);
}

static void *let_go_later(void *unused) {
    (void)unused;
    soon(&orders.blocked, 1);
    usleep(30000);
    orders.go = true;
    return NULL;
}

static void waiting_is_measured(void **unused) {
    (void)unused;
    pthread_t other;
    cnn_dataset *dataset = obeying(4, (struct orders){.block_at = 1});
    cnn_iterator *iterator = iterate(dataset, 1, 1);
    assert_int_equal(pthread_create(&other, NULL, let_go_later, NULL), 0);
    assert_int_equal(take(iterator), 0);
    assert_int_equal(take(iterator), 1);
    pthread_join(other, NULL);
    double waited = cnn_iterator_waited(iterator);
    assert_true(waited > 0.001);
    assert_true(soon(&orders.applied, 4)); /* so the one before is ready */
    assert_int_equal(take(iterator), 2);
    assert_true(cnn_iterator_waited(iterator) == waited);
    finish(iterator, dataset);
}

static void two_iterators_at_once(void **unused) {
    (void)unused;
    cnn_dataset *dataset = numbers(50);
    OVER(dataset, cnn_dataset_map, input, &chance, NULL);
    OVER(dataset, cnn_dataset_cache, input);
    OVER(dataset, cnn_dataset_shuffle, input, 0, &(uint64_t){4}, false);
    cnn_iterator *a = iterate(dataset, 3, 1), *b = iterate(dataset, 2, 1);
    for (int i = 0; i < 50; i++) assert_int_equal(take(a), take(b));
    cnn_iterator_free(a);
    cnn_iterator_free(b);
    cnn_dataset_release(dataset);
}

static void threads_may_be_refused(void **unused) {
    (void)unused;
    for (int allowed = 0; allowed < 3; allowed++) {
        cnn_dataset *dataset = obeying(7, (struct orders){0});
        OVER(dataset, cnn_dataset_batch, input, 3, false);
        threads_allowed = allowed;
        cnn_iterator *iterator = iterate(dataset, 3, 2);
        threads_allowed = 1000;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(take(iterator), 0);
            assert_int_equal(take(iterator), 3);
            assert_int_equal(take(iterator), 6);
            assert_int_equal(take(iterator), -1);
        }
        assert_true(orders.opened >= 1 && orders.opened <= (allowed ? allowed : 1));
        finish(iterator, dataset);
    }
}

/* ---- stopping ---------------------------------------------------------------------------------------------- */

static void freed_at_any_time(void **unused) {
    (void)unused;
    size_t before = cnn_memory_used();
    for (int taken = 0; taken < 4; taken++) {
        for (int batch = 0; batch < 2; batch++) {
            cnn_dataset *dataset = obeying(30, (struct orders){.block_at = 11});
            if (batch) OVER(dataset, cnn_dataset_batch, input, 3, false);
            OVER(dataset, cnn_dataset_cache, input);
            cnn_iterator *iterator = iterate(dataset, 3, 1);
            for (int i = 0; i < taken; i++) assert_int_equal(take(iterator), batch ? 3 * i : i);
            if (taken == 2) usleep(3000); /* the ring is full, or they are all blocked */
            cnn_iterator_free(iterator);
            /* What was given up is not kept. */
            orders.block_at = 0;
            iterator = iterate(dataset, 2, 1);
            for (int i = 0; i < 30; i += batch ? 3 : 1) assert_int_equal(take(iterator), i);
            assert_int_equal(take(iterator), -1);
            finish(iterator, dataset);
        }
    }
    assert_int_equal(cnn_memory_used(), before);
}

static void on_alarm(int number) {
    (void)number;
    cnn_interrupt();
}

static void waiting_can_be_interrupted(void **unused) {
    (void)unused;
    cnn_element element;
    struct itimerval soon_once = {.it_value = {.tv_usec = 20000}};
    cnn_dataset *dataset = obeying(8, (struct orders){.block_at = 2});
    cnn_iterator *iterator = iterate(dataset, 2, 1);
    assert_int_equal(take(iterator), 0);
    assert_int_equal(take(iterator), 1);
    void (*before)(int) = signal(SIGALRM, on_alarm);
    assert_int_equal(setitimer(ITIMER_REAL, &soon_once, NULL), 0);
    assert_int_equal(cnn_iterator_next(iterator, &element), CNN_ERROR_INTERRUPTED);
    assert_int_equal(cnn_iterator_next(iterator, &element), CNN_ERROR_INTERRUPTED);
    signal(SIGALRM, before);
    cnn_interrupt_clear();
    orders.go = true; /* nothing is lost */
    for (int i = 2; i < 8; i++) assert_int_equal(take(iterator), i);
    assert_int_equal(take(iterator), -1);
    finish(iterator, dataset);
}

/* ---- exhausted memory -------------------------------------------------------------------------------------- */

static struct {
    atomic_int left;
    bool for_good;
} faults;

static bool fail_in_turn(size_t size, void *data) {
    (void)size;
    (void)data;
    int left = atomic_fetch_sub(&faults.left, 1);
    return faults.for_good ? left <= 0 : left == 0;
}

/* Each step over the one before, as far as memory lasts. */
static cnn_status build_chain(cnn_dataset **out, cnn_tensor *tensor) {
    cnn_dataset *d = NULL, *next;
    cnn_status status = cnn_dataset_from_tensors(&d, &tensor, 1);
    for (int step = 0; status == CNN_OK && step < 9; step++) {
        status = step == 0   ? cnn_dataset_skip(&next, d, 1)
                 : step == 1 ? cnn_dataset_shuffle(&next, d, 3, NULL, true)
                 : step == 2 ? cnn_dataset_map(&next, d, &obedient, &orders)
                 : step == 3 ? cnn_dataset_cache(&next, d)
                 : step == 4 ? cnn_dataset_repeat(&next, d, 2)
                 : step == 5 ? cnn_dataset_batch(&next, d, 3, false)
                 : step == 6 ? cnn_dataset_map(&next, d, &obedient, &orders)
                 : step == 7 ? cnn_dataset_take(&next, d, 4)
                             : cnn_dataset_prefetch(&next, d, 2);
        if (status != CNN_OK) break;
        cnn_dataset_release(d);
        d = next;
    }
    if (status == CNN_OK)
        *out = d;
    else
        cnn_dataset_release(d);
    return status;
}

static cnn_status run_chain(cnn_tensor *tensor, int workers) {
    cnn_dataset *dataset = NULL;
    cnn_iterator *iterator = NULL;
    cnn_element element = {0};
    cnn_iterator_options options = {.workers = workers, .iterations = 2};
    cnn_status status = build_chain(&dataset, tensor);
    if (status == CNN_OK) status = cnn_iterator_new(&iterator, dataset, &options);
    for (int ends = 0; status == CNN_OK && ends < 2;) {
        status = cnn_iterator_next(iterator, &element);
        if (status == CNN_OK && element.count == 0) ends++;
        cnn_element_clear(&element);
    }
    char message[200];
    snprintf(message, sizeof message, "%s", cnn_error_message());
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    if (status != CNN_OK) assert_non_null(strstr(message, "memory"));
    return status;
}

static void exhausted_memory_survives(void **unused) {
    (void)unused;
    cnn_tensor *tensor;
    OK(cnn_arange(&tensor, CNN_INT32, 0, 8, 1));
    size_t before = cnn_memory_used();
    for (int way = 0; way < 6; way++) {
        int workers = way % 3;
        bool done = false;
        for (int n = 0; !done; n++) {
            orders = (struct orders){0};
            faults.for_good = way >= 3;
            faults.left = n;
            threads_allowed = workers == 0 ? 0 : 1000; /* the caller does the work */
            cnn_set_alloc_hook(fail_in_turn, NULL);
            cnn_status status = run_chain(tensor, workers == 0 ? 1 : workers);
            cnn_set_alloc_hook(NULL, NULL);
            threads_allowed = 1000;
            if (status != CNN_OK) assert_int_equal(status, CNN_ERROR_MEMORY);
            assert_int_equal(cnn_memory_used(), before);
            assert_int_equal(orders.opened, orders.closed);
            done = faults.left > 0;
            if (done) assert_int_equal(status, CNN_OK);
        }
    }
    cnn_tensor_release(tensor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_come_in_their_turn),
        cmocka_unit_test(of_the_rows_of_a_batch_the_first_error_counts),
        cmocka_unit_test(a_map_over_batches_names_the_batch),
        cmocka_unit_test(what_does_not_open_is_an_error),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(iterations_end),
        cmocka_unit_test(workers_go_on_into_the_next_iteration),
        cmocka_unit_test(prefetch_bounds_how_far_ahead),
        cmocka_unit_test(workers_take_no_signals_and_no_threads),
        cmocka_unit_test(waiting_is_measured),
        cmocka_unit_test(two_iterators_at_once),
        cmocka_unit_test(threads_may_be_refused),
        cmocka_unit_test(freed_at_any_time),
        cmocka_unit_test(waiting_can_be_interrupted),
        cmocka_unit_test(exhausted_memory_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
