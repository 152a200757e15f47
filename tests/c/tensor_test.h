/* Short names for making and comparing tensors in tests. */
#ifndef TENSOR_TEST_H
#define TENSOR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cnn.h"

#include <math.h>
#include <string.h>

#define SHAPE(...)                                                                                           \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                                 \
        __VA_ARGS__                                                                                          \
    }
#define SCALAR 0, NULL
#define I64(...) ((int64_t[]){__VA_ARGS__})
#define OK(call) assert_ok_((call), #call, __FILE__, __LINE__)

/* A tensor of this dtype and shape with the values given. */
#define TENSOR(dtype, shape, ...)                                                                            \
    make_tensor(dtype, shape, (double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double))
/* Asserts dtype, shape and values, and releases the tensor. */
#define EXPECT(tensor, dtype, shape, ...)                                                                    \
    expect_tensor(tensor, dtype, shape, (double[]){__VA_ARGS__},                                             \
                  sizeof((double[]){__VA_ARGS__}) / sizeof(double), __FILE__, __LINE__)

static inline void assert_ok_(cnn_status status, const char *call, const char *file, int line) {
    if (status == CNN_OK) return;
    print_error("%s:%d: %s: %s\n", file, line, call, cnn_error_message());
    fail();
}

/* Asserts that a call failed, with this status and text in its message. */
static inline void assert_fails(cnn_status got, cnn_status status, const char *text) {
    assert_int_equal(got, status);
    if (!strstr(cnn_error_message(), text)) print_error("message: %s\n", cnn_error_message());
    assert_non_null(strstr(cnn_error_message(), text));
}

static inline cnn_tensor *make_tensor(cnn_dtype dtype, int rank, const int64_t *shape, const double *values,
                                      size_t count) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, rank, shape));
    assert_int_equal(t->size, count);
    for (size_t i = 0; i < count; i++) cnn_tensor_set(t, (int64_t)i, values[i]);
    return t;
}

static inline void expect_tensor(cnn_tensor *t, cnn_dtype dtype, int rank, const int64_t *shape,
                                 const double *values, size_t count, const char *file, int line) {
    bool same = t->dtype == dtype && t->rank == rank && t->size == (int64_t)count;
    for (int i = 0; i < rank && same; i++) same = t->shape[i] == shape[i];
    for (size_t i = 0; i < count && same; i++) {
        double got = cnn_tensor_get(t, (int64_t)i), want = values[i];
        same = got == want || fabs(got - want) <= 1e-6 * fabs(want) || (isnan(got) && isnan(want));
        if (!same) print_error("%s:%d: element %zu is %.9g, not %.9g\n", file, line, i, got, want);
    }
    if (!same) print_error("%s:%d: the tensors differ\n", file, line);
    assert_true(same);
    cnn_tensor_release(t);
}

/* ---- failing allocations ------------------------------------------------------------------------------ */

static int allocations_left;

static inline bool fail_at_zero(size_t size, void *data) {
    (void)size;
    (void)data;
    return allocations_left-- == 0;
}

/* Runs body with its 1st, 2nd, … allocation failing until it succeeds; every failure must be
 * CNN_ERROR_MEMORY, leave *out alone and leak nothing. */
static inline void assert_survives(cnn_status (*body)(cnn_tensor **out, void *data), void *data) {
    for (int n = 0; n < 100; n++) {
        cnn_tensor *mark = (cnn_tensor *)&allocations_left, *out = mark;
        size_t before = cnn_memory_used();
        allocations_left = n;
        cnn_set_alloc_hook(fail_at_zero, NULL);
        cnn_status status = body(&out, data);
        cnn_set_alloc_hook(NULL, NULL);
        if (status == CNN_OK) {
            assert_true(n > 0);
            if (out != mark) cnn_tensor_release(out);
            assert_int_equal(cnn_memory_used(), before);
            return;
        }
        assert_int_equal(status, CNN_ERROR_MEMORY);
        assert_ptr_equal(out, mark);
        assert_int_equal(cnn_memory_used(), before);
    }
    fail();
}

#endif
