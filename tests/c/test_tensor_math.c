/* Arithmetic with broadcasting, functions, reductions and matrix products. */
#include "tensor_test.h"
#include "base/parallel.h"
#include "tensor/tensor.h"

#include <stdlib.h>

static cnn_tensor *random_tensor(uint64_t seed, int rank, const int64_t *shape) {
    cnn_random random = {.key = seed};
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_FLOAT32, rank, shape));
    cnn_random_normal(&random, cnn_f32(t), t->size, 0.5f, 2);
    return t;
}

static cnn_tensor *binary(cnn_binary_op op, const cnn_tensor *a, const cnn_tensor *b) {
    cnn_tensor *t = NULL;
    OK(cnn_binary(&t, op, a, b));
    return t;
}

static cnn_tensor *number(cnn_binary_op op, const cnn_tensor *a, double x, bool first) {
    cnn_tensor *t = NULL;
    OK(cnn_binary_number(&t, op, a, x, first));
    return t;
}

static cnn_tensor *unary(cnn_unary_op op, const cnn_tensor *a) {
    cnn_tensor *t = NULL;
    OK(cnn_unary(&t, op, a));
    return t;
}

static cnn_tensor *reduce(cnn_reduce_op op, const cnn_tensor *a, unsigned axes) {
    cnn_tensor *t = NULL;
    OK(cnn_reduce(&t, op, a, axes, false));
    return t;
}

/* ---- binary ------------------------------------------------------------------------------------------ */

static void rows_columns_and_scalars_broadcast(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6),
               *row = TENSOR(CNN_FLOAT32, SHAPE(3), 10, 20, 30);
    cnn_tensor *column = TENSOR(CNN_FLOAT32, SHAPE(2, 1), 100, 200), *scalar = TENSOR(CNN_FLOAT32, SCALAR, 1);
    EXPECT(binary(CNN_ADD, a, row), CNN_FLOAT32, SHAPE(2, 3), 11, 22, 33, 14, 25, 36);
    EXPECT(binary(CNN_SUB, column, a), CNN_FLOAT32, SHAPE(2, 3), 99, 98, 97, 196, 195, 194);
    EXPECT(binary(CNN_MUL, row, column), CNN_FLOAT32, SHAPE(2, 3), 1000, 2000, 3000, 2000, 4000, 6000);
    EXPECT(binary(CNN_DIV, scalar, a), CNN_FLOAT32, SHAPE(2, 3), 1, .5, 1. / 3, .25, .2, 1. / 6);
    cnn_tensor_release(a);
    cnn_tensor_release(row);
    cnn_tensor_release(column);
    cnn_tensor_release(scalar);
}

/* Every way to stretch [4,5,6] against itself, short rows and long. */
static void any_broadcast_equals_the_definition(void **state) {
    (void)state;
    for (int64_t width = 6; width <= 140; width += 67) {
        int64_t full[] = {4, 5, width};
        for (int mask = 0; mask < 64; mask++) {
            int64_t p[3], q[3], out[3], stride_p[3], stride_q[3], sp = 1, sq = 1;
            for (int i = 2; i >= 0; i--) {
                p[i] = mask >> i & 1 ? 1 : full[i];
                q[i] = mask >> (i + 3) & 1 ? 1 : full[i];
                out[i] = p[i] == 1 ? q[i] : p[i];
                stride_p[i] = p[i] == 1 ? 0 : sp;
                stride_q[i] = q[i] == 1 ? 0 : sq;
                sp *= p[i];
                sq *= q[i];
            }
            cnn_tensor *a = random_tensor(1, 3, p), *b = random_tensor(2, 3, q), *t = binary(CNN_SUB, a, b);
            for (int64_t i = 0, n = 0; i < out[0]; i++)
                for (int64_t j = 0; j < out[1]; j++)
                    for (int64_t k = 0; k < out[2]; k++, n++)
                        assert_true(cnn_f32(t)[n] ==
                                    cnn_f32(a)[i * stride_p[0] + j * stride_p[1] + k * stride_p[2]] -
                                        cnn_f32(b)[i * stride_q[0] + j * stride_q[1] + k * stride_q[2]]);
            cnn_tensor_release(a);
            cnn_tensor_release(b);
            cnn_tensor_release(t);
        }
    }
}

static void shapes_that_do_not_fit_are_named(void **state) {
    (void)state;
    cnn_tensor *a, *b, *t = NULL;
    OK(cnn_tensor_new(&a, CNN_FLOAT32, SHAPE(2, 3)));
    OK(cnn_tensor_new(&b, CNN_FLOAT32, SHAPE(4)));
    assert_fails(cnn_binary(&t, CNN_MUL, a, b), CNN_ERROR_SHAPE,
                 "multiply: the shapes (2, 3) and (4,) do not broadcast together");
    assert_fails(cnn_binary(&t, (cnn_binary_op)99, a, a), CNN_ERROR_ARGUMENT, "99");
    assert_fails(cnn_binary_number(&t, (cnn_binary_op)99, a, 1, false), CNN_ERROR_ARGUMENT, "99");
    assert_fails(cnn_where(&t, a, a, b), CNN_ERROR_SHAPE, "where: the shapes");
    assert_null(t);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void a_result_may_be_too_big(void **state) {
    (void)state;
    cnn_tensor *a, *b, *t = NULL;
    OK(cnn_tensor_new(&a, CNN_UINT8, SHAPE(1 << 21, 1)));
    OK(cnn_tensor_new(&b, CNN_UINT8, SHAPE(1 << 21)));
    assert_fails(cnn_binary(&t, CNN_ADD, a, b), CNN_ERROR_SHAPE, "too big");
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void empty_tensors_take_part(void **state) {
    (void)state;
    cnn_tensor *a, *b, *t;
    OK(cnn_tensor_new(&a, CNN_FLOAT32, SHAPE(0, 3)));
    OK(cnn_tensor_new(&b, CNN_FLOAT32, SHAPE(1, 3)));
    t = binary(CNN_ADD, a, b);
    assert_int_equal(t->size, 0);
    assert_int_equal(t->rank, 2);
    cnn_tensor_release(t);
    cnn_tensor_release(unary(CNN_EXP, a));
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void dtypes_meet_as_documented(void **state) {
    (void)state;
    cnn_tensor *f = TENSOR(CNN_FLOAT32, SHAPE(1), 0.5), *u = TENSOR(CNN_UINT8, SHAPE(1), 200);
    cnn_tensor *i = TENSOR(CNN_INT32, SHAPE(1), -7), *h = TENSOR(CNN_BFLOAT16, SHAPE(1), 1.5);
    EXPECT(binary(CNN_ADD, f, u), CNN_FLOAT32, SHAPE(1), 200.5);
    EXPECT(binary(CNN_ADD, u, i), CNN_INT32, SHAPE(1), 193);
    EXPECT(binary(CNN_ADD, u, u), CNN_UINT8, SHAPE(1), 144); /* wraps around */
    EXPECT(binary(CNN_ADD, h, h), CNN_BFLOAT16, SHAPE(1), 3);
    EXPECT(binary(CNN_MUL, h, f), CNN_FLOAT32, SHAPE(1), 0.75);
    EXPECT(binary(CNN_DIV, u, u), CNN_FLOAT32, SHAPE(1), 1);
    EXPECT(binary(CNN_POW, i, i), CNN_FLOAT32, SHAPE(1), pow(-7, -7));
    EXPECT(binary(CNN_LESS, i, u), CNN_UINT8, SHAPE(1), 1);
    EXPECT(number(CNN_ADD, u, 1, false), CNN_UINT8, SHAPE(1), 201);
    EXPECT(number(CNN_ADD, u, 300, false), CNN_FLOAT32, SHAPE(1), 500);
    EXPECT(number(CNN_SUB, u, -1, false), CNN_FLOAT32, SHAPE(1), 201);
    EXPECT(number(CNN_MUL, i, 0.5, false), CNN_FLOAT32, SHAPE(1), -3.5);
    EXPECT(number(CNN_SUB, i, 10, true), CNN_INT32, SHAPE(1), 17);
    EXPECT(number(CNN_ADD, h, 0.25, false), CNN_BFLOAT16, SHAPE(1), 1.75);
    EXPECT(number(CNN_ADD, i, NAN, false), CNN_FLOAT32, SHAPE(1), NAN);
    cnn_tensor_release(f);
    cnn_tensor_release(u);
    cnn_tensor_release(i);
    cnn_tensor_release(h);
}

static void division_follows_python(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_INT32, SHAPE(7), 7, -7, 7, -7, 5, INT32_MIN, 6);
    cnn_tensor *b = TENSOR(CNN_INT32, SHAPE(7), 2, 2, -2, -2, 0, -1, 3);
    EXPECT(binary(CNN_FLOORDIV, a, b), CNN_INT32, SHAPE(7), 3, -4, -4, 3, 0, INT32_MIN, 2);
    EXPECT(binary(CNN_MOD, a, b), CNN_INT32, SHAPE(7), 1, 1, -1, -1, 0, 0, 0);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    a = TENSOR(CNN_FLOAT32, SHAPE(7), 7.5, -7.5, 7.5, 1, -1, INFINITY, 0);
    b = TENSOR(CNN_FLOAT32, SHAPE(7), 2, 2, -2, 0, INFINITY, 1, 0);
    EXPECT(binary(CNN_FLOORDIV, a, b), CNN_FLOAT32, SHAPE(7), 3, -4, -4, INFINITY, -1, NAN, NAN);
    EXPECT(binary(CNN_MOD, a, b), CNN_FLOAT32, SHAPE(7), 1.5, 0.5, -0.5, NAN, INFINITY, NAN, NAN);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void integers_wrap_around(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_INT32, SHAPE(2), INT32_MAX, INT32_MIN),
               *b = TENSOR(CNN_INT32, SHAPE(2), 1, -1);
    EXPECT(binary(CNN_ADD, a, b), CNN_INT32, SHAPE(2), INT32_MIN, INT32_MAX);
    EXPECT(binary(CNN_MUL, a, a), CNN_INT32, SHAPE(2), 1, 0);
    EXPECT(unary(CNN_NEG, a), CNN_INT32, SHAPE(2), -INT32_MAX, INT32_MIN);
    EXPECT(unary(CNN_ABS, a), CNN_INT32, SHAPE(2), INT32_MAX, INT32_MIN);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void not_a_number_wins(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(3), NAN, 1, 2), *b = TENSOR(CNN_FLOAT32, SHAPE(3), 1, NAN, 5);
    EXPECT(binary(CNN_MAXIMUM, a, b), CNN_FLOAT32, SHAPE(3), NAN, NAN, 5);
    EXPECT(binary(CNN_MINIMUM, a, b), CNN_FLOAT32, SHAPE(3), NAN, NAN, 2);
    EXPECT(binary(CNN_EQUAL, a, a), CNN_UINT8, SHAPE(3), 0, 1, 1);
    EXPECT(binary(CNN_NOT_EQUAL, a, a), CNN_UINT8, SHAPE(3), 1, 0, 0);
    EXPECT(unary(CNN_ISNAN, a), CNN_FLOAT32, SHAPE(3), 1, 0, 0);
    EXPECT(unary(CNN_RELU, a), CNN_FLOAT32, SHAPE(3), NAN, 1, 2);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void where_selects(void **state) {
    (void)state;
    cnn_tensor *c = TENSOR(CNN_UINT8, SHAPE(2, 1), 0, 7), *a = TENSOR(CNN_FLOAT32, SHAPE(3), 1, 2, 3), *t;
    cnn_tensor *b = TENSOR(CNN_INT32, SCALAR, -1);
    OK(cnn_where(&t, c, a, b));
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 3), -1, -1, -1, 1, 2, 3);
    OK(cnn_where(&t, c, b, b));
    EXPECT(t, CNN_INT32, SHAPE(2, 1), -1, -1);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(c);
}

static void writing_into_an_operand_is_fine(void **state) {
    (void)state;
    cnn_tensor *a = random_tensor(1, SHAPE(70000)), *b = random_tensor(2, SHAPE(70000)),
               *sum = binary(CNN_ADD, a, b);
    cnn_binary_into(a, CNN_ADD, a, b);
    assert_memory_equal(a->data, sum->data, cnn_tensor_bytes(a));
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(sum);
}

/* ---- unary ------------------------------------------------------------------------------------------- */

static void functions_have_their_values(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(5), -1.5, -0.5, 0, 0.5, 2.5),
               *u = TENSOR(CNN_UINT8, SHAPE(2), 4, 9);
    EXPECT(unary(CNN_NEG, a), CNN_FLOAT32, SHAPE(5), 1.5, 0.5, 0, -0.5, -2.5);
    EXPECT(unary(CNN_SIGN, a), CNN_FLOAT32, SHAPE(5), -1, -1, 0, 1, 1);
    EXPECT(unary(CNN_SQUARE, a), CNN_FLOAT32, SHAPE(5), 2.25, 0.25, 0, 0.25, 6.25);
    EXPECT(unary(CNN_EXP, a), CNN_FLOAT32, SHAPE(5), exp(-1.5), exp(-.5), 1, exp(.5), exp(2.5));
    EXPECT(unary(CNN_TANH, a), CNN_FLOAT32, SHAPE(5), tanh(-1.5), tanh(-.5), 0, tanh(.5), tanh(2.5));
    EXPECT(unary(CNN_RELU, a), CNN_FLOAT32, SHAPE(5), 0, 0, 0, 0.5, 2.5);
    EXPECT(unary(CNN_FLOOR, a), CNN_FLOAT32, SHAPE(5), -2, -1, 0, 0, 2);
    EXPECT(unary(CNN_CEIL, a), CNN_FLOAT32, SHAPE(5), -1, 0, 0, 1, 3);
    EXPECT(unary(CNN_ROUND, a), CNN_FLOAT32, SHAPE(5), -2, 0, 0, 0, 2);
    EXPECT(unary(CNN_LOG, a), CNN_FLOAT32, SHAPE(5), NAN, NAN, -INFINITY, log(.5), log(2.5));
    EXPECT(unary(CNN_SQRT, u), CNN_FLOAT32, SHAPE(2), 2, 3);
    EXPECT(unary(CNN_NEG, u), CNN_UINT8, SHAPE(2), 252, 247);
    cnn_tensor_release(a);
    a = TENSOR(CNN_FLOAT32, SHAPE(4), -200, -90, 0, 200);
    EXPECT(unary(CNN_SIGMOID, a), CNN_FLOAT32, SHAPE(4), 0, (double)expf(-90), .5, 1);
    cnn_tensor *t = NULL;
    assert_fails(cnn_unary(&t, (cnn_unary_op)-1, a), CNN_ERROR_ARGUMENT, "unknown");
    cnn_tensor_release(a);
    cnn_tensor_release(u);
}

static void clip_keeps_integers_between_whole_bounds(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(4), -1, 0.5, 9, NAN),
               *u = TENSOR(CNN_UINT8, SHAPE(3), 0, 100, 200), *t;
    OK(cnn_clip(&t, a, 0, 1));
    EXPECT(t, CNN_FLOAT32, SHAPE(4), 0, 0.5, 1, NAN);
    OK(cnn_clip(&t, u, -5, 150));
    EXPECT(t, CNN_UINT8, SHAPE(3), 0, 100, 150);
    OK(cnn_clip(&t, u, 1, INFINITY));
    EXPECT(t, CNN_UINT8, SHAPE(3), 1, 100, 200);
    OK(cnn_clip(&t, u, 0.5, 100.5));
    EXPECT(t, CNN_FLOAT32, SHAPE(3), 0.5, 100, 100.5);
    assert_fails(cnn_clip(&t, a, 2, 1), CNN_ERROR_ARGUMENT, "got 2 and 1");
    assert_fails(cnn_clip(&t, a, NAN, 1), CNN_ERROR_ARGUMENT, "got");
    cnn_tensor_release(a);
    cnn_tensor_release(u);
}

/* ---- reductions -------------------------------------------------------------------------------------- */

static void reductions_run_over_any_axes(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(2, 2, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), *t;
    EXPECT(reduce(CNN_SUM, a, 0), CNN_FLOAT32, SCALAR, 78);
    EXPECT(reduce(CNN_SUM, a, 1), CNN_FLOAT32, SHAPE(2, 3), 8, 10, 12, 14, 16, 18);
    EXPECT(reduce(CNN_SUM, a, 2), CNN_FLOAT32, SHAPE(2, 3), 5, 7, 9, 17, 19, 21);
    EXPECT(reduce(CNN_SUM, a, 4), CNN_FLOAT32, SHAPE(2, 2), 6, 15, 24, 33);
    EXPECT(reduce(CNN_SUM, a, 5), CNN_FLOAT32, SHAPE(2), 30, 48);
    EXPECT(reduce(CNN_MEAN, a, 3), CNN_FLOAT32, SHAPE(3), 5.5, 6.5, 7.5);
    EXPECT(reduce(CNN_MAX, a, 6), CNN_FLOAT32, SHAPE(2), 6, 12);
    EXPECT(reduce(CNN_MIN, a, 1), CNN_FLOAT32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXPECT(reduce(CNN_PROD, a, 4), CNN_FLOAT32, SHAPE(2, 2), 6, 120, 504, 1320);
    EXPECT(reduce(CNN_VAR, a, 4), CNN_FLOAT32, SHAPE(2, 2), 2. / 3, 2. / 3, 2. / 3, 2. / 3);
    EXPECT(reduce(CNN_STD, a, 1), CNN_FLOAT32, SHAPE(2, 3), 3, 3, 3, 3, 3, 3);
    EXPECT(reduce(CNN_ARGMAX, a, 2), CNN_INT32, SHAPE(2, 3), 1, 1, 1, 1, 1, 1);
    EXPECT(reduce(CNN_ARGMIN, a, 0), CNN_INT32, SCALAR, 0);
    OK(cnn_reduce(&t, CNN_SUM, a, 5, true));
    EXPECT(t, CNN_FLOAT32, SHAPE(1, 2, 1), 30, 48);
    cnn_tensor_release(a);
}

static void integers_sum_to_int32_saturated(void **state) {
    (void)state;
    cnn_tensor *u = TENSOR(CNN_UINT8, SHAPE(3), 200, 200, 200),
               *i = TENSOR(CNN_INT32, SHAPE(2), INT32_MAX, 5);
    EXPECT(reduce(CNN_SUM, u, 0), CNN_INT32, SCALAR, 600);
    EXPECT(reduce(CNN_MAX, u, 0), CNN_UINT8, SCALAR, 200);
    EXPECT(reduce(CNN_MEAN, u, 0), CNN_FLOAT32, SCALAR, 200);
    EXPECT(reduce(CNN_SUM, i, 0), CNN_INT32, SCALAR, INT32_MAX);
    EXPECT(reduce(CNN_PROD, i, 0), CNN_INT32, SCALAR, INT32_MAX);
    EXPECT(reduce(CNN_MAX, i, 0), CNN_INT32, SCALAR, INT32_MAX);
    cnn_tensor_release(u);
    cnn_tensor_release(i);
}

static void extremes_propagate_nan_and_take_the_first(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(6), 1, 5, NAN, 5, NAN, 0),
               *b = TENSOR(CNN_FLOAT32, SHAPE(4), 1, 5, 5, 1);
    cnn_tensor *c = TENSOR(CNN_FLOAT32, SHAPE(2), -INFINITY, -INFINITY);
    EXPECT(reduce(CNN_MAX, a, 0), CNN_FLOAT32, SCALAR, NAN);
    EXPECT(reduce(CNN_MIN, a, 0), CNN_FLOAT32, SCALAR, NAN);
    EXPECT(reduce(CNN_ARGMAX, a, 0), CNN_INT32, SCALAR, 2);
    EXPECT(reduce(CNN_ARGMIN, a, 0), CNN_INT32, SCALAR, 2);
    EXPECT(reduce(CNN_ARGMAX, b, 0), CNN_INT32, SCALAR, 1);
    EXPECT(reduce(CNN_ARGMIN, b, 0), CNN_INT32, SCALAR, 0);
    EXPECT(reduce(CNN_ARGMAX, c, 0), CNN_INT32, SCALAR, 0);
    EXPECT(reduce(CNN_MAX, c, 0), CNN_FLOAT32, SCALAR, -INFINITY);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(c);
}

static void nothing_sums_to_zero_and_has_no_maximum(void **state) {
    (void)state;
    cnn_tensor *a, *t = NULL;
    OK(cnn_tensor_new(&a, CNN_FLOAT32, SHAPE(0, 2)));
    EXPECT(reduce(CNN_SUM, a, 0), CNN_FLOAT32, SCALAR, 0);
    EXPECT(reduce(CNN_PROD, a, 1), CNN_FLOAT32, SHAPE(2), 1, 1);
    EXPECT(reduce(CNN_MEAN, a, 1), CNN_FLOAT32, SHAPE(2), NAN, NAN);
    EXPECT(reduce(CNN_STD, a, 0), CNN_FLOAT32, SCALAR, NAN);
    assert_fails(cnn_reduce(&t, CNN_MAX, a, 0, false), CNN_ERROR_SHAPE, "max: expected at least one element");
    assert_fails(cnn_reduce(&t, CNN_ARGMIN, a, 1, false), CNN_ERROR_SHAPE, "argmin: expected at least one");
    OK(cnn_reduce(&t, CNN_MAX, a, 2, false)); /* no rows to find the maximum of */
    assert_int_equal(t->size, 0);
    cnn_tensor_release(t);
    cnn_tensor_release(a);
}

static void axes_outside_are_refused(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(2, 1, 1), 1, 2), *scalar = TENSOR(CNN_FLOAT32, SCALAR, 3),
               *t = NULL;
    assert_fails(cnn_reduce(&t, CNN_SUM, a, 8, false), CNN_ERROR_ARGUMENT,
                 "sum: axis 3 is outside a tensor of 3 axes");
    assert_fails(cnn_reduce(&t, CNN_SUM, scalar, 1, false), CNN_ERROR_ARGUMENT, "axis 0 is outside");
    assert_fails(cnn_reduce(&t, CNN_ARGMAX, a, 3, false), CNN_ERROR_ARGUMENT, "argmax: expected one axis");
    assert_fails(cnn_reduce(&t, (cnn_reduce_op)50, a, 0, false), CNN_ERROR_ARGUMENT, "unknown");
    EXPECT(reduce(CNN_SUM, scalar, 0), CNN_FLOAT32, SCALAR, 3);
    EXPECT(reduce(CNN_ARGMAX, scalar, 0), CNN_INT32, SCALAR, 0);
    cnn_tensor_release(a);
    cnn_tensor_release(scalar);
}

/* A float accumulator would stop at 2^24; a one-pass variance would lose everything beside the mean. */
static void sums_are_exact_where_float_is_not(void **state) {
    (void)state;
    cnn_tensor *a;
    OK(cnn_tensor_full(&a, CNN_FLOAT32, SHAPE(20000000), 1));
    EXPECT(reduce(CNN_SUM, a, 0), CNN_FLOAT32, SCALAR, 20000000);
    cnn_tensor_release(a);
    a = random_tensor(3, SHAPE(300000));
    for (int i = 0; i < 300000; i++) cnn_f32(a)[i] = 1e6f + (float)(i % 2);
    EXPECT(reduce(CNN_MEAN, a, 0), CNN_FLOAT32, SCALAR, 1000000.5);
    EXPECT(reduce(CNN_VAR, a, 0), CNN_FLOAT32, SCALAR, 0.25);
    cnn_tensor_release(a);
}

/* Against sums in the plainest order, over shapes that take every path: wide and narrow, cut into blocks or
 * not. */
static void large_reductions_agree_with_the_definition(void **state) {
    (void)state;
    const int64_t shapes[][3] = {{300, 70, 10}, {7, 40000, 3},  {40000, 3, 5},
                                 {3, 600, 700}, {2000, 1, 300}, {1, 1, 500000}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t *n = shapes[s];
        cnn_tensor *a = random_tensor(s, 3, n);
        for (unsigned axes = 1; axes < 8; axes++) {
            int64_t kept[3], size = 1;
            for (int i = 2; i >= 0; i--) {
                kept[i] = axes >> i & 1 ? 0 : size;
                size *= axes >> i & 1 ? 1 : n[i];
            }
            double *sum = calloc((size_t)size, sizeof *sum), *top = malloc((size_t)size * sizeof *top);
            for (int64_t i = 0; i < size; i++) top[i] = -INFINITY;
            for (int64_t i = 0; i < a->size; i++) {
                int64_t k = i / (n[1] * n[2]) * kept[0] + i / n[2] % n[1] * kept[1] + i % n[2] * kept[2];
                sum[k] += (double)cnn_f32(a)[i];
                if ((double)cnn_f32(a)[i] > top[k]) top[k] = (double)cnn_f32(a)[i];
            }
            cnn_tensor *total = reduce(CNN_SUM, a, axes), *most = reduce(CNN_MAX, a, axes);
            assert_int_equal(total->size, size);
            for (int64_t i = 0; i < size; i++) {
                assert_true(fabs(cnn_tensor_get(total, i) - sum[i]) <= 1e-6 * fabs(sum[i]) + 1e-6);
                assert_true(cnn_tensor_get(most, i) == top[i]);
            }
            cnn_tensor_release(total);
            cnn_tensor_release(most);
            free(sum);
            free(top);
        }
        cnn_tensor_release(a);
    }
}

static void argmax_of_large_tensors_is_the_first(void **state) {
    (void)state;
    cnn_tensor *a;
    OK(cnn_tensor_new(&a, CNN_FLOAT32, SHAPE(1000, 700)));
    const int64_t places[] = {699999, 350007, 65536, 65535, 77, 3};
    for (int i = 0; i < 6; i++) {
        cnn_f32(a)[places[i]] = 1;
        EXPECT(reduce(CNN_ARGMAX, a, 0), CNN_INT32, SCALAR, (double)places[i]);
        cnn_tensor *rows = reduce(CNN_ARGMAX, a, 1);
        assert_int_equal(cnn_i32(rows)[places[i] % 700], places[i] / 700);
        cnn_tensor_release(rows);
    }
    cnn_f32(a)[400000] = NAN;
    EXPECT(reduce(CNN_ARGMAX, a, 0), CNN_INT32, SCALAR, 400000);
    cnn_tensor_release(a);
}

static void threads_change_no_bit(void **state) {
    (void)state;
    const int64_t shapes[][2] = {{1000000, 1}, {100000, 10}, {1000, 1000}, {10, 100000}};
    int threads = cnn_threads();
    for (int s = 0; s < 4; s++) {
        cnn_tensor *a = random_tensor(5, 2, shapes[s]);
        for (int op = CNN_SUM; op <= CNN_ARGMIN; op++) {
            for (unsigned axes = 0; axes < 3; axes++) {
                cnn_set_threads(1);
                cnn_tensor *one = reduce((cnn_reduce_op)op, a, axes);
                cnn_set_threads(5);
                cnn_tensor *five = reduce((cnn_reduce_op)op, a, axes);
                assert_memory_equal(one->data, five->data, cnn_tensor_bytes(one));
                cnn_tensor_release(one);
                cnn_tensor_release(five);
            }
        }
        cnn_tensor_release(a);
    }
    cnn_set_threads(threads);
}

static void sum_to_undoes_broadcasting(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(2, 2, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    cnn_tensor *row, *column, *scalar, *same;
    OK(cnn_tensor_new(&row, CNN_FLOAT32, SHAPE(3)));
    OK(cnn_tensor_new(&column, CNN_FLOAT32, SHAPE(2, 1)));
    OK(cnn_tensor_new(&scalar, CNN_FLOAT32, 0, NULL));
    OK(cnn_tensor_alloc_like(&same, a, CNN_FLOAT32));
    cnn_sum_to_into(row, a);
    cnn_sum_to_into(column, a);
    cnn_sum_to_into(scalar, a);
    cnn_sum_to_into(same, a);
    EXPECT(row, CNN_FLOAT32, SHAPE(3), 22, 26, 30);
    EXPECT(column, CNN_FLOAT32, SHAPE(2, 1), 30, 48);
    EXPECT(scalar, CNN_FLOAT32, SCALAR, 78);
    EXPECT(same, CNN_FLOAT32, SHAPE(2, 2, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    cnn_tensor_release(a);
}

static void allclose_knows_nan_and_infinity(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(2), 1, INFINITY),
               *b = TENSOR(CNN_FLOAT32, SHAPE(2), 1.0001, INFINITY);
    cnn_tensor *c = TENSOR(CNN_FLOAT32, SHAPE(2), NAN, 1), *d = TENSOR(CNN_FLOAT32, SHAPE(1), 1);
    bool close = false;
    OK(cnn_allclose(&close, a, b, 1e-3, 0));
    assert_true(close);
    OK(cnn_allclose(&close, a, b, 1e-5, 1e-6));
    assert_false(close);
    OK(cnn_allclose(&close, c, c, 1, 1));
    assert_false(close);
    OK(cnn_allclose(&close, a, d, 1, 1));
    assert_false(close);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(c);
    cnn_tensor_release(d);
}

/* ---- products ---------------------------------------------------------------------------------------- */

static void matmul_takes_vectors_matrices_and_stacks(void **state) {
    (void)state;
    cnn_tensor *m = TENSOR(CNN_FLOAT32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6),
               *v = TENSOR(CNN_FLOAT32, SHAPE(3), 1, 0, -1), *t;
    cnn_tensor *n = TENSOR(CNN_FLOAT32, SHAPE(3, 2), 1, 2, 3, 4, 5, 6),
               *w = TENSOR(CNN_FLOAT32, SHAPE(2), 1, 1);
    cnn_tensor *stack = TENSOR(CNN_FLOAT32, SHAPE(2, 1, 3), 1, 0, 0, 0, 1, 0);
    cnn_tensor *stacks = TENSOR(CNN_FLOAT32, SHAPE(2, 3, 1), 1, 2, 3, 4, 5, 6);
    OK(cnn_matmul(&t, m, n));
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 2), 22, 28, 49, 64);
    OK(cnn_matmul(&t, m, v));
    EXPECT(t, CNN_FLOAT32, SHAPE(2), -2, -2);
    OK(cnn_matmul(&t, w, m));
    EXPECT(t, CNN_FLOAT32, SHAPE(3), 5, 7, 9);
    OK(cnn_matmul(&t, v, v));
    EXPECT(t, CNN_FLOAT32, SCALAR, 2);
    OK(cnn_matmul(&t, stack, n));
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 1, 2), 1, 2, 3, 4);
    OK(cnn_matmul(&t, stack, stacks));
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 1, 1), 1, 5);
    OK(cnn_matmul(&t, m, stacks));
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 2, 1), 14, 32, 32, 77);
    cnn_tensor_release(m);
    cnn_tensor_release(n);
    cnn_tensor_release(v);
    cnn_tensor_release(w);
    cnn_tensor_release(stack);
    cnn_tensor_release(stacks);
}

static void matmul_refuses_what_does_not_fit(void **state) {
    (void)state;
    cnn_tensor *a, *b, *scalar, *t = NULL;
    OK(cnn_tensor_new(&a, CNN_FLOAT32, SHAPE(2, 3)));
    OK(cnn_tensor_new(&b, CNN_UINT8, SHAPE(3, 2)));
    OK(cnn_tensor_new(&scalar, CNN_FLOAT32, 0, NULL));
    assert_fails(cnn_matmul(&t, a, a), CNN_ERROR_SHAPE,
                 "matmul: the inner sizes of the shapes (2, 3) and (2, 3) differ");
    assert_fails(cnn_matmul(&t, a, b), CNN_ERROR_DTYPE, "float32 tensors, got float32 and uint8");
    assert_fails(cnn_matmul(&t, a, scalar), CNN_ERROR_SHAPE, "a scalar");
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    OK(cnn_tensor_new(&a, CNN_FLOAT32, SHAPE(2, 0)));
    OK(cnn_tensor_new(&b, CNN_FLOAT32, SHAPE(0, 2)));
    OK(cnn_matmul(&t, a, b)); /* sums of nothing */
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 2), 0, 0, 0, 0);
    OK(cnn_matmul(&t, b, a));
    assert_int_equal(t->size, 0);
    cnn_tensor_release(t);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(scalar);
}

/* Every transposition, alpha and beta, at sizes of one block and of many. */
static void gemm_equals_the_definition(void **state) {
    (void)state;
    const int64_t sizes[][3] = {{1, 1, 1},      {3, 5, 7},      {70, 33, 129},
                                {300, 20, 900}, {20, 700, 300}, {1, 3000, 40}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
        cnn_tensor *a = random_tensor(1, SHAPE(m * k)), *b = random_tensor(2, SHAPE(k * n)),
                   *c = random_tensor(3, SHAPE(m * n));
        for (int mode = 0; mode < 8; mode++) {
            bool ta = mode & 1, tb = mode & 2;
            float alpha = mode & 4 ? 0.5f : 1, beta = mode & 4 ? 2.0f : 0;
            cnn_tensor *out;
            OK(cnn_copy(&out, c));
            if (beta == 0) cnn_fill_into(out, NAN);
            cnn_gemm(ta, tb, m, n, k, alpha, cnn_f32(a), ta ? m : k, cnn_f32(b), tb ? k : n, beta,
                     cnn_f32(out), n);
            for (int64_t i = 0; i < m * n; i += 1 + i / 50) {
                double sum = 0, row = (double)(beta == 0 ? 0 : beta * cnn_f32(c)[i]);
                for (int64_t l = 0; l < k; l++)
                    sum += (double)cnn_f32(a)[ta ? l * m + i / n : i / n * k + l] *
                           (double)cnn_f32(b)[tb ? i % n * k + l : l * n + i % n];
                assert_true(fabs((double)alpha * sum + row - (double)cnn_f32(out)[i]) <
                            1e-4 * (double)k + 1e-4);
            }
            cnn_tensor_release(out);
        }
        cnn_tensor_release(a);
        cnn_tensor_release(b);
        cnn_tensor_release(c);
    }
}

static void gemm_without_terms_scales(void **state) {
    (void)state;
    float c[4] = {1, 2, NAN, 4}, unused[1] = {0};
    cnn_gemm(false, false, 2, 2, 0, 1, unused, 1, unused, 2, 2, c, 2);
    assert_true(c[0] == 2 && c[1] == 4 && isnan(c[2]) && c[3] == 8);
    cnn_gemm(false, false, 2, 2, 0, 1, unused, 1, unused, 2, 0, c, 2);
    for (int i = 0; i < 4; i++) assert_true(c[i] == 0);
    cnn_gemm(false, false, 0, 2, 3, 1, unused, 3, unused, 2, 0, c, 2);
    cnn_gemm(false, false, 2, 0, 3, 1, unused, 3, unused, 1, 0, c, 1);
}

typedef struct product {
    const cnn_tensor *a, *b;
    cnn_tensor *out;
} product;

static void multiply_task(void *context, int64_t task, int thread) {
    const product *p = context;
    (void)thread;
    if (task == 0)
        cnn_gemm(false, false, 500, 400, 300, 1, cnn_f32(p->a), 300, cnn_f32(p->b), 400, 0, cnn_f32(p->out),
                 400);
}

static void gemm_is_the_same_for_any_threads(void **state) {
    (void)state;
    cnn_tensor *a = random_tensor(1, SHAPE(500, 300)), *b = random_tensor(2, SHAPE(300, 400)), *one, *many,
               *inside;
    int threads = cnn_threads();
    cnn_set_threads(1);
    OK(cnn_matmul(&one, a, b));
    cnn_set_threads(4);
    OK(cnn_matmul(&many, a, b));
    OK(cnn_tensor_alloc_like(&inside, one, CNN_FLOAT32));
    cnn_parallel(2, multiply_task, &(product){a, b, inside});
    assert_memory_equal(one->data, many->data, cnn_tensor_bytes(one));
    assert_memory_equal(one->data, inside->data, cnn_tensor_bytes(one));
    cnn_set_threads(threads);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(one);
    cnn_tensor_release(many);
    cnn_tensor_release(inside);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_columns_and_scalars_broadcast),
        cmocka_unit_test(any_broadcast_equals_the_definition),
        cmocka_unit_test(shapes_that_do_not_fit_are_named),
        cmocka_unit_test(a_result_may_be_too_big),
        cmocka_unit_test(empty_tensors_take_part),
        cmocka_unit_test(dtypes_meet_as_documented),
        cmocka_unit_test(division_follows_python),
        cmocka_unit_test(integers_wrap_around),
        cmocka_unit_test(not_a_number_wins),
        cmocka_unit_test(where_selects),
        cmocka_unit_test(writing_into_an_operand_is_fine),
        cmocka_unit_test(functions_have_their_values),
        cmocka_unit_test(clip_keeps_integers_between_whole_bounds),
        cmocka_unit_test(reductions_run_over_any_axes),
        cmocka_unit_test(integers_sum_to_int32_saturated),
        cmocka_unit_test(extremes_propagate_nan_and_take_the_first),
        cmocka_unit_test(nothing_sums_to_zero_and_has_no_maximum),
        cmocka_unit_test(axes_outside_are_refused),
        cmocka_unit_test(sums_are_exact_where_float_is_not),
        cmocka_unit_test(large_reductions_agree_with_the_definition),
        cmocka_unit_test(argmax_of_large_tensors_is_the_first),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(sum_to_undoes_broadcasting),
        cmocka_unit_test(allclose_knows_nan_and_infinity),
        cmocka_unit_test(matmul_takes_vectors_matrices_and_stacks),
        cmocka_unit_test(matmul_refuses_what_does_not_fit),
        cmocka_unit_test(gemm_equals_the_definition),
        cmocka_unit_test(gemm_without_terms_scales),
        cmocka_unit_test(gemm_is_the_same_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
