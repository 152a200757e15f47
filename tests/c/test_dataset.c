/* What elements datasets have, in which order, and that the number of workers does not matter. */
#include "datasets.h"

/* ---- nodes ----------------------------------------------------------------------------------------------- */

static void rows_of_tensors(void **state) {
    (void)state;
    cnn_tensor *x = TENSOR(CNN_FLOAT32, SHAPE(2, 2, 1), 1, 2, 3, 4), *y = TENSOR(CNN_UINT8, SHAPE(2), 5, 6);
    cnn_dataset *dataset;
    cnn_iterator *iterator;
    cnn_element element;
    OK(cnn_dataset_from_tensors(&dataset, (cnn_tensor *[]){x, y}, 2));
    assert_int_equal(cnn_dataset_cardinality(dataset), 2);
    OK(cnn_iterator_new(&iterator, dataset, &(cnn_iterator_options){.position = 1}));
    OK(cnn_iterator_next(iterator, &element));
    assert_int_equal(element.count, 2);
    assert_string_equal(element.name, "sample 2");
    assert_ptr_equal(element.parts[0]->data, cnn_f32(x) + 2); /* shared */
    EXPECT(cnn_tensor_retain(element.parts[0]), CNN_FLOAT32, SHAPE(2, 1), 3, 4);
    EXPECT(cnn_tensor_retain(element.parts[1]), CNN_UINT8, SCALAR, 6);
    cnn_element_clear(&element);
    assert_int_equal(element.count, 0);
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    cnn_tensor_release(x);
    cnn_tensor_release(y);
}

static void tensors_must_have_rows(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(2), 1, 2), *b = TENSOR(CNN_FLOAT32, SHAPE(1), 1), *scalar;
    cnn_dataset *dataset = NULL;
    OK(cnn_tensor_full(&scalar, CNN_FLOAT32, 0, NULL, 1));
    assert_fails(cnn_dataset_from_tensors(&dataset, &a, 0), CNN_ERROR_ARGUMENT, "got 0");
    assert_fails(cnn_dataset_from_tensors(&dataset, (cnn_tensor *[]){a, b}, 2), CNN_ERROR_SHAPE,
                 "got 2 in tensor 1");
    assert_fails(cnn_dataset_from_tensors(&dataset, &scalar, 1), CNN_ERROR_SHAPE, "scalar");
    assert_fails(cnn_dataset_from_tensors(&dataset, (cnn_tensor *[]){NULL}, 1), CNN_ERROR_ARGUMENT,
                 "got none");
    assert_null(dataset);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(scalar);
}

static void batches(void **state) {
    (void)state;
    cnn_dataset *seven = numbers(7), *dataset = cnn_dataset_retain(seven);
    OVER(dataset, cnn_dataset_batch, input, 3, false);
    assert_int_equal(cnn_dataset_cardinality(dataset), 3);
    expect(dataset, "[0 1 2] [3 4 5] [6] | ");
    dataset = cnn_dataset_retain(seven);
    OVER(dataset, cnn_dataset_batch, input, 3, true);
    assert_int_equal(cnn_dataset_cardinality(dataset), 2);
    expect(dataset, "[0 1 2] [3 4 5] | ");
    dataset = cnn_dataset_retain(seven);
    OVER(dataset, cnn_dataset_batch, input, INT32_MAX, false);
    expect(dataset, "[0 1 2 3 4 5 6] | ");
    dataset = seven;
    OVER(dataset, cnn_dataset_batch, input, 2, false);
    OVER(dataset, cnn_dataset_take, input, 3);
    OVER(dataset, cnn_dataset_batch, input, 2, false); /* of batches */
    assert_int_equal(cnn_dataset_cardinality(dataset), 2);
    expect(dataset, "[0 1 2 3] [4 5] | ");
    assert_fails(cnn_dataset_batch(&dataset, NULL, 0, false), CNN_ERROR_ARGUMENT, "got 0");
    assert_fails(cnn_dataset_batch(&dataset, NULL, 2, false), CNN_ERROR_ARGUMENT, "expected a dataset");
}

static void batches_know_what_is_in_them(void **state) {
    (void)state;
    cnn_dataset *dataset = numbers(3);
    cnn_iterator *iterator;
    cnn_element element;
    OVER(dataset, cnn_dataset_batch, input, 2, false);
    OK(cnn_iterator_new(&iterator, dataset, NULL));
    OK(cnn_iterator_next(iterator, &element));
    assert_string_equal(element.name, "batch 1 (sample 1 to sample 2)");
    assert_int_equal(element.parts[0]->rank, 1);
    cnn_element_clear(&element);
    OK(cnn_iterator_next(iterator, &element));
    assert_string_equal(element.name, "batch 2 (sample 3)");
    cnn_element_clear(&element);
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
}

static void take_skip_and_repeat(void **state) {
    (void)state;
    cnn_dataset *five = numbers(5), *dataset;
    static const struct {
        cnn_status (*make)(cnn_dataset **out, cnn_dataset *dataset, int64_t count);
        int64_t count, cardinality;
        const char *elements;
    } cases[] = {{cnn_dataset_take, 2, 2, "0 1 | "},
                 {cnn_dataset_take, 0, 0, "| "},
                 {cnn_dataset_take, 9, 5, "0 1 2 3 4 | "},
                 {cnn_dataset_take, -1, 5, "0 1 2 3 4 | "},
                 {cnn_dataset_skip, 3, 2, "3 4 | "},
                 {cnn_dataset_skip, 5, 0, "| "},
                 {cnn_dataset_skip, INT64_MAX, 0, "| "},
                 {cnn_dataset_skip, 0, 5, "0 1 2 3 4 | "},
                 {cnn_dataset_repeat, 2, 10, "0 1 2 3 4 0 1 2 3 4 | "},
                 {cnn_dataset_repeat, 0, 0, "| "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(cases[i].make(&dataset, five, cases[i].count));
        assert_int_equal(cnn_dataset_cardinality(dataset), cases[i].cardinality);
        expect(dataset, cases[i].elements);
    }
    assert_fails(cnn_dataset_take(&dataset, five, -2), CNN_ERROR_ARGUMENT,
                 "take: 'count' must be at least -1");
    assert_fails(cnn_dataset_skip(&dataset, five, -1), CNN_ERROR_ARGUMENT, "got -1");
    assert_fails(cnn_dataset_repeat(&dataset, five, INT64_MAX), CNN_ERROR_ARGUMENT, "too many");
    cnn_dataset_release(five);
}

static void without_end(void **state) {
    (void)state;
    cnn_dataset *dataset = numbers(3), *other, *none = numbers(0);
    OVER(none, cnn_dataset_repeat, input, -1);
    assert_int_equal(cnn_dataset_cardinality(none), 0);
    expect(none, "| ");
    OVER(dataset, cnn_dataset_repeat, input, -1);
    OVER(dataset, cnn_dataset_repeat, input, 4);
    OVER(dataset, cnn_dataset_skip, input, 1);
    OVER(dataset, cnn_dataset_batch, input, 4, true);
    assert_int_equal(cnn_dataset_cardinality(dataset), -1);
    assert_fails(cnn_dataset_shuffle(&other, dataset, 0, NULL, true), CNN_ERROR_ARGUMENT, "without end");
    assert_fails(cnn_dataset_cache(&other, dataset), CNN_ERROR_ARGUMENT, "without end");
    OVER(dataset, cnn_dataset_take, input, 3);
    assert_int_equal(cnn_dataset_cardinality(dataset), 3);
    expect(dataset, "[1 2 0 1] [2 0 1 2] [0 1 2 0] | ");
}

/* ---- order ----------------------------------------------------------------------------------------------- */

static void shuffles_are_permutations(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (int64_t buffer = 0; buffer < 12; buffer++) {
        cnn_dataset *dataset = numbers(10);
        OVER(dataset, cnn_dataset_shuffle, input, buffer, &seed, true);
        const char *at = run(dataset);
        bool seen[10] = {false}, moved = false;
        for (int64_t i = 0; i < 10; i++) {
            long value = strtol(at, (char **)&at, 10);
            assert_false(seen[value]);
            seen[value] = true;
            if (value != i) moved = true;
            if (buffer > 0) assert_true(value < i + buffer); /* not before it is in the buffer */
        }
        assert_int_equal(moved, buffer != 1);
        cnn_dataset_release(dataset);
    }
}

static void shuffled_anew_each_iteration(void **state) {
    (void)state;
    uint64_t seed = 7;
    cnn_dataset *dataset = numbers(8), *fixed = cnn_dataset_retain(dataset),
                *again = cnn_dataset_retain(dataset);
    OVER(dataset, cnn_dataset_shuffle, input, 0, &seed, true);
    OVER(again, cnn_dataset_shuffle, input, 0, &seed, true);
    OVER(fixed, cnn_dataset_shuffle, input, 0, &seed, false);
    const char *first = run(dataset), *second = run(dataset);
    assert_string_not_equal(first, second);
    assert_string_equal(run(again), first);
    assert_string_equal(run(again), second);
    const char *kept = run(fixed);
    assert_string_equal(run(fixed), kept);
    assert_string_equal(kept, first);
    /* The rounds of a repeat are iterations too. */
    OVER(again, cnn_dataset_repeat, input, 2);
    const char *rounds = run(again);
    assert_int_equal(strlen(rounds), 2 * 16 + 2);
    assert_memory_equal(rounds, first, 16);
    assert_memory_equal(rounds + 16, second, 16);
    cnn_dataset_release(dataset);
    cnn_dataset_release(fixed);
    cnn_dataset_release(again);
}

static void iterations_can_be_chosen(void **state) {
    (void)state;
    uint64_t seed = 7;
    cnn_dataset *dataset = numbers(8);
    OVER(dataset, cnn_dataset_shuffle, input, 0, &seed, true);
    run(dataset);
    run(dataset);
    const char *third = run(dataset);
    cnn_iterator_options options = {.numbered = true, .iteration = 2};
    assert_string_equal(run_with(dataset, &options), third);
    options = (cnn_iterator_options){.numbered = true, .iteration = 1, .position = 6, .iterations = 2};
    const char *resumed = run_with(dataset, &options);
    assert_int_equal(strlen(resumed), 4 + 2 + 16 + 2); /* two elements, all, and the ends */
    assert_string_equal(resumed + 6, third);
    assert_string_not_equal(run(dataset), third); /* the fourth: numbered ones are not counted */
    cnn_dataset_release(dataset);
}

static void the_seed_makes_it_again(void **state) {
    (void)state;
    text first = {0};
    for (int i = 0; i < 2; i++) {
        cnn_set_seed(11);
        cnn_dataset *dataset = numbers(6);
        OVER(dataset, cnn_dataset_shuffle, input, 0, NULL, true);
        OVER(dataset, cnn_dataset_map, input, &chance, NULL);
        if (i == 0)
            say(&first, "%s", run(dataset));
        else
            assert_string_equal(run(dataset), first.bytes);
        cnn_dataset_release(dataset);
    }
}

/* ---- any number of workers ------------------------------------------------------------------------------- */

/* m: map, s: shuffle, b: batch, r: repeat, c: cache, k: skip, p: prefetch one. */
static cnn_dataset *build(const char *nodes) {
    static const uint64_t seed = 3;
    cnn_dataset *dataset = numbers(11);
    cnn_set_seed(1);
    for (; *nodes; nodes++) {
        if (*nodes == 'm') OVER(dataset, cnn_dataset_map, input, &chance, NULL);
        if (*nodes == 's') OVER(dataset, cnn_dataset_shuffle, input, 4, &seed, true);
        if (*nodes == 'b') OVER(dataset, cnn_dataset_batch, input, 3, false);
        if (*nodes == 'r') OVER(dataset, cnn_dataset_repeat, input, 3);
        if (*nodes == 'c') OVER(dataset, cnn_dataset_cache, input);
        if (*nodes == 'k') OVER(dataset, cnn_dataset_skip, input, 1);
        if (*nodes == 'p') OVER(dataset, cnn_dataset_prefetch, input, 1);
    }
    return dataset;
}

static void workers_change_nothing(void **state) {
    (void)state;
    static const char *const chains[] = {"m",    "ms",    "sm",     "msb",    "smb",  "bs",
                                         "bms",  "sbm",   "smbr",   "rsm",    "mrsb", "cmsb",
                                         "mcsb", "smbcm", "sbmpcr", "mkbkps", "bbm",  "mbkc"};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        text first = {0};
        for (int workers = 1; workers <= 5; workers += workers == 1 ? 1 : 3) {
            cnn_dataset *dataset = build(chains[i]);
            cnn_iterator_options options = {.workers = workers, .iterations = 3};
            const char *got = run_with(dataset, &options);
            if (workers == 1) {
                say(&first, "%s", got);
            } else if (strcmp(got, first.bytes) != 0) {
                fail_msg("%s with %d workers: %s\nbut with one: %s", chains[i], workers, got, first.bytes);
            }
            cnn_dataset_release(dataset);
        }
    }
}

static void other_numbers_each_iteration(void **state) {
    (void)state;
    cnn_dataset *dataset = build("m");
    const char *first = run(dataset);
    assert_string_not_equal(run(dataset), first);
    cnn_dataset_release(dataset);
}

/* ---- cache ----------------------------------------------------------------------------------------------- */

static atomic_int applied;

static cnn_status count_calls(void *worker, void *data, cnn_element *element, cnn_random *random) {
    atomic_fetch_add(&applied, 1);
    return add_chance(worker, data, element, random);
}

static const cnn_mapper counting = {.apply = count_calls};

static void a_cache_makes_each_element_once(void **state) {
    (void)state;
    for (int batched = 0; batched < 2; batched++) {
        cnn_dataset *dataset = numbers(40);
        applied = 0;
        OVER(dataset, cnn_dataset_map, input, &counting, NULL);
        if (batched) OVER(dataset, cnn_dataset_batch, input, 2, false);
        OVER(dataset, cnn_dataset_cache, input);
        OVER(dataset, cnn_dataset_take, input, batched ? 12 : 24);
        cnn_iterator_options options = {.workers = 5, .iterations = 2};
        const char *both = run_with(dataset, &options), *end = strchr(both, '|');
        assert_memory_equal(both, end + 2, (size_t)(end - both)); /* those of the first iteration */
        assert_int_equal(applied, 24);
        cnn_dataset_release(dataset);
    }
}

static void a_cache_is_the_same_whichever_iteration_fills_it(void **state) {
    (void)state;
    cnn_dataset *dataset = build("smc"), *other = build("smc");
    cnn_iterator_options later = {.numbered = true, .iteration = 5};
    const char *first = run(dataset);
    assert_string_equal(run_with(other, &later), first);
    cnn_dataset_release(dataset);
    cnn_dataset_release(other);
}

/* ---- left out -------------------------------------------------------------------------------------------- */

static cnn_status leave_out(void *worker, void *data, cnn_element *element, cnn_random *random) {
    int32_t number = cnn_i32(element->parts[0])[0];
    (void)worker;
    (void)random;
    if (number % *(int32_t *)data != 0) return CNN_OK;
    cnn_element_clear(element);
    return CNN_OK;
}

static const cnn_mapper leaving_out = {.apply = leave_out};

static void elements_can_be_left_out(void **state) {
    (void)state;
    int32_t third = 3, all = 1;
    cnn_dataset *dataset = numbers(10);
    OVER(dataset, cnn_dataset_map, input, &leaving_out, &third);
    OVER(dataset, cnn_dataset_cache, input);
    assert_string_equal(run(dataset), "1 2 4 5 7 8 | ");
    OVER(dataset, cnn_dataset_batch, input, 4, false);
    assert_string_equal(run(dataset), "[1 2] [4 5 7] [8] | ");
    OVER(dataset, cnn_dataset_map, input, &chance, NULL); /* which a batch of one is the shape for */
    cnn_dataset_release(dataset);
    dataset = numbers(4);
    OVER(dataset, cnn_dataset_map, input, &leaving_out, &third);
    OVER(dataset, cnn_dataset_batch, input, 1, false);
    expect(dataset, "[1] [2] | ");
    dataset = numbers(4);
    OVER(dataset, cnn_dataset_map, input, &leaving_out, &all);
    OVER(dataset, cnn_dataset_batch, input, 3, false);
    expect(dataset, "| ");
}

static void what_never_comes_is_an_error(void **state) {
    (void)state;
    int32_t all = 1;
    cnn_dataset *dataset = numbers(4);
    cnn_iterator *iterator;
    cnn_element element;
    OVER(dataset, cnn_dataset_map, input, &leaving_out, &all);
    OVER(dataset, cnn_dataset_repeat, input, -1);
    OVER(dataset, cnn_dataset_batch, input, 2, false);
    OK(cnn_iterator_new(&iterator, dataset, NULL));
    assert_fails(cnn_iterator_next(iterator, &element), CNN_ERROR_FORMAT, "were all left out");
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
}

/* ---- rows that differ ------------------------------------------------------------------------------------ */

static cnn_status grow_or_add(void *worker, void *data, cnn_element *element, cnn_random *random) {
    int64_t number = cnn_i32(element->parts[0])[0], shape = number < *(int64_t *)data ? 2 : 3;
    (void)worker;
    (void)random;
    if (*(int64_t *)data < 0) {
        if (number == 2) element->parts[element->count++] = cnn_tensor_retain(element->parts[0]);
        return CNN_OK;
    }
    usleep((unsigned)(5 - number % 5) * 200); /* later rows are there sooner */
    cnn_tensor_release(element->parts[0]);
    return cnn_tensor_new(&element->parts[0], CNN_FLOAT32, 1, &shape);
}

static void rows_of_a_batch_must_be_alike(void **state) {
    (void)state;
    static const char *const messages[] = {
        "batch: sample 1 has 1 tensors, but sample 3 has 2",
        "batch: tensor 1 of sample 1 is float32 (2,), but of sample 5 float32 (3,)",
        "batch: tensor 1 of sample 1 is float32 (2,), but of sample 2 float32 (3,)"};
    int64_t from[] = {-1, 4, 1};
    cnn_mapper mapper = {.apply = grow_or_add};
    for (int i = 0; i < 3; i++) {
        for (int workers = 1; workers <= 5; workers += 2) {
            cnn_dataset *dataset = numbers(6);
            cnn_iterator *iterator;
            cnn_element element;
            OVER(dataset, cnn_dataset_map, input, &mapper, &from[i]);
            OVER(dataset, cnn_dataset_batch, input, 6, false);
            OK(cnn_iterator_new(&iterator, dataset, &(cnn_iterator_options){.workers = workers}));
            assert_fails(cnn_iterator_next(iterator, &element), CNN_ERROR_SHAPE, messages[i]);
            cnn_iterator_free(iterator);
            cnn_dataset_release(dataset);
        }
    }
}

/* Large batches are made in the memory of those that nobody holds any more, not even by a view. */
static void batches_in_each_others_memory(void **state) {
    (void)state;
    enum { ROWS = 60, WIDTH = 16384 };
    cnn_tensor *tensor, *column, *held = NULL, *all = NULL;
    cnn_dataset *dataset;
    cnn_iterator *iterator;
    cnn_element element;
    const void *seen[ROWS / 2];
    int places = 0;
    OK(cnn_arange(&tensor, CNN_INT32, 0, ROWS, 1));
    OK(cnn_reshape(&column, tensor, 2, I64(ROWS, 1)));
    OK(cnn_broadcast_to(&all, column, 2, I64(ROWS, WIDTH)));
    OK(cnn_dataset_from_tensors(&dataset, &all, 1));
    OVER(dataset, cnn_dataset_batch, input, 2, false);
    OK(cnn_iterator_new(&iterator, dataset, &(cnn_iterator_options){.workers = 2}));
    for (int i = 0; i < ROWS / 2; i++) {
        OK(cnn_iterator_next(iterator, &element));
        const int32_t *values = cnn_i32(element.parts[0]);
        for (int j = 0; j < 2 * WIDTH; j++) assert_int_equal(values[j], 2 * i + j / WIDTH);
        int place = 0;
        while (place < places && seen[place] != values) place++;
        if (place == places) seen[places++] = values;
        if (i == 3) OK(cnn_view(&held, element.parts[0], 1, 2));
        cnn_element_clear(&element);
    }
    assert_true(places <= 6); /* four in the ring, one taken, one held */
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    for (int j = 0; j < WIDTH; j++) assert_int_equal(cnn_i32(held)[j], 7);
    cnn_tensor *made[] = {tensor, column, all, held};
    for (int i = 0; i < 4; i++) cnn_tensor_release(made[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_tensors),
        cmocka_unit_test(tensors_must_have_rows),
        cmocka_unit_test(batches),
        cmocka_unit_test(batches_know_what_is_in_them),
        cmocka_unit_test(take_skip_and_repeat),
        cmocka_unit_test(without_end),
        cmocka_unit_test(shuffles_are_permutations),
        cmocka_unit_test(shuffled_anew_each_iteration),
        cmocka_unit_test(iterations_can_be_chosen),
        cmocka_unit_test(the_seed_makes_it_again),
        cmocka_unit_test(workers_change_nothing),
        cmocka_unit_test(other_numbers_each_iteration),
        cmocka_unit_test(a_cache_makes_each_element_once),
        cmocka_unit_test(a_cache_is_the_same_whichever_iteration_fills_it),
        cmocka_unit_test(elements_can_be_left_out),
        cmocka_unit_test(what_never_comes_is_an_error),
        cmocka_unit_test(rows_of_a_batch_must_be_alike),
        cmocka_unit_test(batches_in_each_others_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
