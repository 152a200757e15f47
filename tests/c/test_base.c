/* The ground floor: errors, memory, text, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- status ------------------------------------------------------------------------------------------ */

static void a_failure_leaves_its_message(void **state) {
    (void)state;
    assert_int_equal(cnn_fail(CNN_ERROR_SHAPE, "op: got %d", 7), CNN_ERROR_SHAPE);
    assert_string_equal(cnn_error_message(), "op: got 7");
    assert_int_equal(cnn_fail_in(CNN_ERROR_SHAPE, "layer"), CNN_ERROR_SHAPE);
    assert_string_equal(cnn_error_message(), "layer: op: got 7");
}

static void a_message_may_quote_the_one_before(void **state) {
    (void)state;
    cnn_fail(CNN_ERROR_IO, "no such file");
    cnn_fail(CNN_ERROR_FORMAT, "load: %s", cnn_error_message());
    assert_string_equal(cnn_error_message(), "load: no such file");
}

static void long_messages_are_cut(void **state) {
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cnn_fail(CNN_ERROR_ARGUMENT, "%s", text);
    for (int i = 0; i < 300; i++) cnn_fail_in(CNN_ERROR_ARGUMENT, "outer");
    assert_true(strlen(cnn_error_message()) < 1024);
}

static void *fail_elsewhere(void *unused) {
    (void)unused;
    cnn_fail(CNN_ERROR_IO, "elsewhere");
    return NULL;
}

static void messages_belong_to_their_thread(void **state) {
    (void)state;
    pthread_t thread;
    cnn_fail(CNN_ERROR_IO, "here");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(cnn_error_message(), "here");
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static void blocks_are_aligned_and_counted(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    for (size_t size = 0; size < 300; size += 7) {
        char *block = cnn_malloc(size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % CNN_ALIGN, 0);
        assert_int_equal(cnn_block_size(block), size);
        assert_int_equal(cnn_memory_used(), before + size);
        memset(block, 1, size);
        cnn_free(block);
    }
    assert_int_equal(cnn_memory_used(), before);
    assert_true(cnn_memory_peak() >= before + 294);
}

static void calloc_zeroes_and_realloc_keeps(void **state) {
    (void)state;
    unsigned char *block = cnn_calloc(100);
    for (int i = 0; i < 100; i++) assert_int_equal(block[i], 0);
    memset(block, 7, 100);
    block = cnn_realloc(block, 1000);
    for (int i = 0; i < 100; i++) assert_int_equal(block[i], 7);
    block = cnn_realloc(block, 10);
    assert_int_equal(block[9], 7);
    cnn_free(block);
    cnn_free(NULL);
}

static bool refuse(size_t size, void *data) {
    size_t *seen = data;
    *seen = size;
    return true;
}

static void the_hook_makes_allocations_fail(void **state) {
    (void)state;
    size_t seen = 0, before = cnn_memory_used();
    cnn_set_alloc_hook(refuse, &seen);
    void *plain = cnn_malloc(10), *zeroed = cnn_calloc(20);
    char *copy = cnn_strdup("abc");
    assert_int_equal(seen, 4);
    cnn_text text = {0};
    cnn_text_add(&text, "hello");
    char *taken = cnn_text_take(&text);
    cnn_set_alloc_hook(NULL, NULL);
    assert_null(plain);
    assert_null(zeroed);
    assert_null(copy);
    assert_null(taken);
    assert_int_equal(cnn_memory_used(), before);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    assert_null(cnn_malloc(SIZE_MAX));
    assert_null(cnn_calloc(SIZE_MAX - 100));
}

/* ---- text -------------------------------------------------------------------------------------------- */

static void text_grows_and_pads(void **state) {
    (void)state;
    cnn_text text = {0};
    cnn_text_add(&text, "first\nab");
    cnn_text_pad(&text, 5, '.');
    for (int i = 0; i < 1000; i++) cnn_text_add(&text, "%d", i % 10);
    char *taken = cnn_text_take(&text);
    assert_int_equal(strlen(taken), 6 + 5 + 1000);
    assert_memory_equal(taken, "first\nab...0123", 15);
    free(taken);
    taken = cnn_text_take(&text); /* an empty text is "" */
    assert_string_equal(taken, "");
    free(taken);
}

static void shapes_read_as_in_keras(void **state) {
    (void)state;
    char text[CNN_SHAPE_TEXT], small[8];
    assert_string_equal(cnn_shape_text(text, sizeof text, 0, NULL), "()");
    assert_string_equal(cnn_shape_text(text, sizeof text, 1, (int64_t[]){3}), "(3,)");
    assert_string_equal(cnn_shape_text(text, sizeof text, 3, (int64_t[]){-1, 28, 1}), "(None, 28, 1)");
    cnn_shape_text(small, sizeof small, 3, (int64_t[]){100000, 100000, 1});
    assert_int_equal(strlen(small), 7);
}

static void the_nearest_name_is_found(void **state) {
    (void)state;
    const char *names[] = {"filters", "kernel_size", "strides", "padding", NULL};
    assert_string_equal(cnn_nearest("kernal_size", names), "kernel_size");
    assert_string_equal(cnn_nearest("Strides", names), "strides");
    assert_string_equal(cnn_nearest("stride", names), "strides");
    assert_null(cnn_nearest("activation", names));
    assert_null(cnn_nearest("", names));
}

static void class_names_become_layer_names(void **state) {
    (void)state;
    const char *pairs[][2] = {{"Dense", "dense"},
                              {"Conv2D", "conv2d"},
                              {"MaxPooling2D", "max_pooling2d"},
                              {"Conv2DTranspose", "conv2d_transpose"},
                              {"BatchNormalization", "batch_normalization"},
                              {"LeakyReLU", "leaky_re_lu"},
                              {"PReLU", "p_re_lu"},
                              {"ELU", "elu"},
                              {"Part2Layer", "part2_layer"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char name[64];
        cnn_snake_case(name, sizeof name, pairs[i][0]);
        assert_string_equal(name, pairs[i][1]);
    }
    char small[5];
    cnn_snake_case(small, sizeof small, "BatchNormalization");
    assert_true(strlen(small) < sizeof small);
}

static void thousands_have_commas(void **state) {
    (void)state;
    char text[32];
    assert_string_equal(cnn_thousands(text, sizeof text, 0), "0");
    assert_string_equal(cnn_thousands(text, sizeof text, 999), "999");
    assert_string_equal(cnn_thousands(text, sizeof text, 55744), "55,744");
    assert_string_equal(cnn_thousands(text, sizeof text, -123456), "-123,456");
    assert_string_equal(cnn_thousands(text, sizeof text, 1234567), "1,234,567");
}

/* ---- threads ----------------------------------------------------------------------------------------- */

typedef struct marks {
    int count[1000];
    bool inside, nested_inside;
} marks;

static void nested_task(void *context, int64_t task, int thread) {
    marks *m = context;
    (void)thread;
    __atomic_fetch_add(&m->count[task], 1, __ATOMIC_RELAXED);
    if (!cnn_in_parallel()) m->nested_inside = false;
}

static void task(void *context, int64_t task, int thread) {
    marks *m = context;
    assert_in_range(thread, 0, (uintmax_t)cnn_threads() - 1);
    __atomic_fetch_add(&m->count[task], 1, __ATOMIC_RELAXED);
    if (task == 0) cnn_parallel(10, nested_task, m);
}

static void every_task_runs_once(void **state) {
    (void)state;
    int threads = cnn_threads();
    for (int n = 1; n <= 5; n += 2) {
        marks m = {.nested_inside = true};
        assert_int_equal(cnn_set_threads(n), CNN_OK);
        cnn_parallel(1000, task, &m);
        for (int i = 0; i < 1000; i++) assert_int_equal(m.count[i], i < 10 ? 2 : 1);
        assert_true(m.nested_inside || n == 1);
        cnn_parallel(0, task, &m);
    }
    assert_false(cnn_in_parallel());
    cnn_set_threads(threads);
}

static void mark_range(void *context, int64_t from, int64_t to) {
    marks *m = context;
    assert_true(to - from <= 64);
    for (int64_t i = from; i < to; i++) m->count[i]++;
}

static void ranges_cover_everything_once(void **state) {
    (void)state;
    marks m = {0};
    cnn_parallel_ranges(1000, 64, mark_range, &m);
    for (int i = 0; i < 1000; i++) assert_int_equal(m.count[i], 1);
    cnn_parallel_ranges(0, 64, mark_range, &m);
}

static void thread_counts_are_checked(void **state) {
    (void)state;
    assert_true(cnn_threads() >= 1);
    assert_int_equal(cnn_set_threads(0), CNN_ERROR_ARGUMENT);
    assert_int_equal(cnn_set_threads(-3), CNN_ERROR_ARGUMENT);
    assert_non_null(strstr(cnn_error_message(), "-3"));
}

static void interruption_is_a_flag(void **state) {
    (void)state;
    assert_false(cnn_interrupted());
    cnn_interrupt();
    assert_true(cnn_interrupted());
    cnn_interrupt_clear();
    assert_false(cnn_interrupted());
}

static void numbers_as_text_read_back_as_they_are(void **state) {
    (void)state;
    cnn_random random = {5, 0};
    char text[CNN_NUMBER_TEXT];
    for (int i = 0; i < 10000; i++) {
        union {
            uint64_t bits;
            double value;
        } u = {cnn_random_bits(&random)};
        if (isnan(u.value)) continue;
        double back = strtod(cnn_number_text(text, u.value), NULL);
        assert_memory_equal(&back, &u.value, sizeof back);
    }
    assert_string_equal(cnn_number_text(text, 10), "10");
    assert_string_equal(cnn_number_text(text, 1.0 / 3), "0.3333333333333333");
    assert_string_equal(cnn_number_text(text, (double)0.1f), "0.10000000149011612");
    assert_string_equal(cnn_number_text(text, 1e300), "1e+300");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_as_text_read_back_as_they_are),
        cmocka_unit_test(a_failure_leaves_its_message),
        cmocka_unit_test(a_message_may_quote_the_one_before),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(messages_belong_to_their_thread),
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(calloc_zeroes_and_realloc_keeps),
        cmocka_unit_test(the_hook_makes_allocations_fail),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(text_grows_and_pads),
        cmocka_unit_test(shapes_read_as_in_keras),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(class_names_become_layer_names),
        cmocka_unit_test(thousands_have_commas),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(ranges_cover_everything_once),
        cmocka_unit_test(thread_counts_are_checked),
        cmocka_unit_test(interruption_is_a_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
