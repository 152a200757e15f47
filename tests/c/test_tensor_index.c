/* Elements by position: blocks, indices, orders of axes, joins; values as NumPy gives them. */
#include "tensor_test.h"
#include "tensor/tensor.h"

static cnn_tensor *counted(int rank, const int64_t *shape) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_INT32, rank, shape));
    for (int64_t i = 0; i < t->size; i++) cnn_i32(t)[i] = (int32_t)i;
    return t;
}

static void slices_step_through_every_axis(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(4, 5)), *t;
    OK(cnn_slice(&t, a, I64(1, 0), I64(4, 5), I64(2, 2)));
    EXPECT(t, CNN_INT32, SHAPE(2, 3), 5, 7, 9, 15, 17, 19);
    OK(cnn_slice(&t, a, I64(0, 3), I64(4, 4), I64(1, 1)));
    EXPECT(t, CNN_INT32, SHAPE(4, 1), 3, 8, 13, 18);
    OK(cnn_slice(&t, a, I64(1, 1), I64(2, 5), I64(INT64_MAX, INT64_MAX)));
    EXPECT(t, CNN_INT32, SHAPE(1, 1), 6);
    OK(cnn_slice(&t, a, I64(3, 2), I64(2, 2), I64(1, 1)));
    assert_int_equal(t->shape[0], 0);
    assert_int_equal(t->shape[1], 0);
    cnn_tensor_release(t);
    assert_fails(cnn_slice(&t, a, I64(0, 0), I64(4, 6), I64(1, 1)), CNN_ERROR_ARGUMENT,
                 "slice: expected a range within 0 to 5 on axis 1, got 0 to 6");
    assert_fails(cnn_slice(&t, a, I64(-1, 0), I64(4, 5), I64(1, 1)), CNN_ERROR_ARGUMENT, "got -1 to 4");
    assert_fails(cnn_slice(&t, a, I64(0, 0), I64(4, 5), I64(1, 0)), CNN_ERROR_ARGUMENT,
                 "step of at least 1 on axis 1");
    cnn_tensor_release(a);
}

static void assignment_broadcasts_into_a_block(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(3, 3)), *row = TENSOR(CNN_INT32, SHAPE(2), 100, 200),
               *scalar = TENSOR(CNN_INT32, SCALAR, -1);
    cnn_tensor *floats = TENSOR(CNN_FLOAT32, SHAPE(2), 1, 2), *three = TENSOR(CNN_INT32, SHAPE(3), 1, 2, 3);
    OK(cnn_slice_assign(a, I64(0, 0), I64(3, 3), I64(2, 2), row));
    OK(cnn_slice_assign(a, I64(1, 1), I64(2, 2), I64(1, 1), scalar));
    const char *misfit = "assign: the shape (3,) does not broadcast to (2, 2)";
    assert_fails(cnn_slice_assign(a, I64(0, 0), I64(2, 2), I64(1, 1), three), CNN_ERROR_SHAPE, misfit);
    assert_fails(cnn_slice_assign(a, I64(0, 0), I64(2, 2), I64(1, 1), floats), CNN_ERROR_DTYPE,
                 "int32 values, got float32");
    assert_fails(cnn_slice_assign(a, I64(0, 0), I64(2, 9), I64(1, 1), row), CNN_ERROR_ARGUMENT, "got 0 to 9");
    EXPECT(a, CNN_INT32, SHAPE(3, 3), 100, 1, 200, 3, -1, 5, 100, 7, 200);
    cnn_tensor_release(row);
    cnn_tensor_release(scalar);
    cnn_tensor_release(floats);
    cnn_tensor_release(three);
}

static void assignment_from_itself_reads_before_it_writes(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(5)), *head;
    OK(cnn_view(&head, a, 0, 4));
    OK(cnn_slice_assign(a, I64(1), I64(5), I64(1), head));
    cnn_tensor_release(head);
    EXPECT(a, CNN_INT32, SHAPE(5), 0, 0, 1, 2, 3);
}

static void transpose_moves_axes(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(2, 3, 2)), *t;
    OK(cnn_transpose(&t, a, NULL));
    EXPECT(t, CNN_INT32, SHAPE(2, 3, 2), 0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11);
    OK(cnn_transpose(&t, a, (int[]){0, -1, 1}));
    EXPECT(t, CNN_INT32, SHAPE(2, 2, 3), 0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11);
    assert_fails(cnn_transpose(&t, a, (int[]){0, 1, 1}), CNN_ERROR_ARGUMENT, "axis 1 twice");
    assert_fails(cnn_transpose(&t, a, (int[]){0, 1, 3}), CNN_ERROR_ARGUMENT, "axis 3 is outside");
    cnn_tensor_release(a);
}

/* Every order of four axes, of sizes that do not divide the tiles, in each element size. */
static void transposes_of_any_order_equal_the_definition(void **state) {
    (void)state;
    const int64_t n[] = {3, 34, 5, 70};
    const cnn_dtype dtypes[] = {CNN_INT32, CNN_UINT8, CNN_BFLOAT16};
    for (int d = 0; d < 3; d++) {
        cnn_tensor *whole = counted(4, n), *a, *t;
        OK(cnn_cast(&a, whole, dtypes[d]));
        for (int order = 0; order < 256; order++) {
            int axes[] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
            if ((1 << axes[0] | 1 << axes[1] | 1 << axes[2] | 1 << axes[3]) != 15) continue;
            OK(cnn_transpose(&t, a, axes));
            const int64_t stride[] = {n[1] * n[2] * n[3], n[2] * n[3], n[3], 1};
            for (int64_t i = 0; i < t->size; i += 7) {
                int64_t from = 0, rest = i;
                for (int k = 3; k >= 0; k--) {
                    from += rest % n[axes[k]] * stride[axes[k]];
                    rest /= n[axes[k]];
                }
                assert_true(cnn_tensor_get(t, i) == cnn_tensor_get(a, from));
            }
            cnn_tensor_release(t);
        }
        cnn_tensor_release(a);
        cnn_tensor_release(whole);
    }
}

static void gather_takes_rows_by_index(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(3, 2)), *index = TENSOR(CNN_INT32, SHAPE(2, 2), 2, 0, 1, 2), *t;
    cnn_tensor *one = TENSOR(CNN_INT32, SCALAR, 1), *bad = TENSOR(CNN_INT32, SHAPE(2), 0, 3);
    cnn_tensor *negative = TENSOR(CNN_INT32, SHAPE(1), -1), *floats = TENSOR(CNN_FLOAT32, SHAPE(1), 0);
    OK(cnn_gather(&t, a, index, 0));
    EXPECT(t, CNN_INT32, SHAPE(2, 2, 2), 4, 5, 0, 1, 2, 3, 4, 5);
    OK(cnn_gather(&t, a, one, -1));
    EXPECT(t, CNN_INT32, SHAPE(3), 1, 3, 5);
    assert_fails(cnn_gather(&t, a, bad, 0), CNN_ERROR_ARGUMENT,
                 "gather: index 3 (number 2) is outside axis 0 of size 3");
    assert_fails(cnn_gather(&t, a, negative, 0), CNN_ERROR_ARGUMENT, "index -1");
    assert_fails(cnn_gather(&t, a, floats, 0), CNN_ERROR_DTYPE, "int32 indices, got float32");
    assert_fails(cnn_gather(&t, a, one, 2), CNN_ERROR_ARGUMENT, "axis 2 is outside");
    assert_fails(cnn_gather(&t, one, one, 0), CNN_ERROR_ARGUMENT, "axis 0 is outside a tensor of 0 axes");
    cnn_tensor *big = counted(SHAPE(1, 1, 1, 1, 1, 1, 1, 2));
    assert_fails(cnn_gather(&t, big, index, 7), CNN_ERROR_ARGUMENT, "index 2");
    cnn_tensor_set(index, 0, 1);
    cnn_tensor_set(index, 3, 1);
    assert_fails(cnn_gather(&t, big, index, 7), CNN_ERROR_SHAPE, "9 axes, at most 8");
    cnn_tensor_release(a);
    cnn_tensor_release(index);
    cnn_tensor_release(one);
    cnn_tensor_release(bad);
    cnn_tensor_release(negative);
    cnn_tensor_release(floats);
    cnn_tensor_release(big);
}

static void concat_joins_along_an_axis(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(2, 2)), *b = counted(SHAPE(2, 1)), *c, *t;
    OK(cnn_tensor_new(&c, CNN_INT32, SHAPE(2, 0)));
    OK(cnn_concat(&t, (const cnn_tensor *[]){a, c, b}, 3, -1));
    EXPECT(t, CNN_INT32, SHAPE(2, 3), 0, 1, 0, 2, 3, 1);
    OK(cnn_concat(&t, (const cnn_tensor *[]){a, a}, 2, 0));
    EXPECT(t, CNN_INT32, SHAPE(4, 2), 0, 1, 2, 3, 0, 1, 2, 3);
    assert_fails(cnn_concat(&t, (const cnn_tensor *[]){a, b}, 2, 0), CNN_ERROR_SHAPE,
                 "concat: expected shapes equal but for one axis, got (2, 2) first and (2, 1) as number 2");
    assert_fails(cnn_concat(&t, NULL, 0, 0), CNN_ERROR_ARGUMENT, "at least one tensor");
    assert_fails(cnn_concat(&t, (const cnn_tensor *[]){a}, 1, 2), CNN_ERROR_ARGUMENT, "axis 2 is outside");
    cnn_tensor *f = TENSOR(CNN_FLOAT32, SHAPE(2, 1), 1, 2), *scalar = TENSOR(CNN_INT32, SCALAR, 1);
    assert_fails(cnn_concat(&t, (const cnn_tensor *[]){a, f}, 2, 1), CNN_ERROR_DTYPE,
                 "int32 first and float32 as number 2");
    assert_fails(cnn_concat(&t, (const cnn_tensor *[]){scalar}, 1, 0), CNN_ERROR_SHAPE, "see stack");
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(c);
    cnn_tensor_release(f);
    cnn_tensor_release(scalar);
}

static void stack_makes_an_axis(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_INT32, SHAPE(2), 1, 2), *b = TENSOR(CNN_INT32, SHAPE(2), 3, 4),
               *c = counted(SHAPE(3)), *t;
    OK(cnn_stack(&t, (const cnn_tensor *[]){a, b}, 2, 0));
    EXPECT(t, CNN_INT32, SHAPE(2, 2), 1, 2, 3, 4);
    OK(cnn_stack(&t, (const cnn_tensor *[]){a, b}, 2, -1));
    EXPECT(t, CNN_INT32, SHAPE(2, 2), 1, 3, 2, 4);
    assert_fails(cnn_stack(&t, (const cnn_tensor *[]){a, c}, 2, 0), CNN_ERROR_SHAPE,
                 "stack: expected equal shapes");
    assert_fails(cnn_stack(&t, (const cnn_tensor *[]){a, b}, 2, 2), CNN_ERROR_ARGUMENT, "axis 2 is outside");
    assert_fails(cnn_stack(&t, NULL, 0, 0), CNN_ERROR_ARGUMENT, "at least one");
    cnn_tensor *full = counted(SHAPE(1, 1, 1, 1, 1, 1, 1, 1));
    assert_fails(cnn_stack(&t, (const cnn_tensor *[]){full}, 1, 0), CNN_ERROR_SHAPE, "8 axes already");
    assert_fails(cnn_expand_dims(&t, full, 0), CNN_ERROR_SHAPE, "8 axes already");
    cnn_tensor_release(a);
    cnn_tensor_release(b);
    cnn_tensor_release(c);
    cnn_tensor_release(full);
}

static void flip_pad_tile_and_broadcast_copy(void **state) {
    (void)state;
    cnn_tensor *a = counted(SHAPE(2, 3)), *t, *empty, *scalar = TENSOR(CNN_INT32, SCALAR, 4);
    OK(cnn_tensor_new(&empty, CNN_INT32, SHAPE(0, 3)));
    OK(cnn_flip(&t, a, 1));
    EXPECT(t, CNN_INT32, SHAPE(2, 3), 2, 1, 0, 5, 4, 3);
    OK(cnn_flip(&t, a, -2));
    EXPECT(t, CNN_INT32, SHAPE(2, 3), 3, 4, 5, 0, 1, 2);
    OK(cnn_flip(&t, empty, 0));
    cnn_tensor_release(t);
    OK(cnn_pad(&t, a, I64(1, 0), I64(0, 1), 9));
    EXPECT(t, CNN_INT32, SHAPE(3, 4), 9, 9, 9, 9, 0, 1, 2, 9, 3, 4, 5, 9);
    OK(cnn_pad(&t, empty, I64(1, 0), I64(0, 0), 7));
    EXPECT(t, CNN_INT32, SHAPE(1, 3), 7, 7, 7);
    OK(cnn_tile(&t, a, I64(2, 2)));
    EXPECT(t, CNN_INT32, SHAPE(4, 6), 0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5);
    OK(cnn_tile(&t, a, I64(0, 1)));
    assert_int_equal(t->size, 0);
    cnn_tensor_release(t);
    OK(cnn_broadcast_to(&t, scalar, SHAPE(2, 2)));
    EXPECT(t, CNN_INT32, SHAPE(2, 2), 4, 4, 4, 4);
    assert_fails(cnn_broadcast_to(&t, a, SHAPE(3)), CNN_ERROR_SHAPE,
                 "broadcast_to: the shape (2, 3) does not broadcast to (3,)");
    assert_fails(cnn_broadcast_to(&t, a, SHAPE(2, -3)), CNN_ERROR_SHAPE, "got -3");
    assert_fails(cnn_flip(&t, scalar, 0), CNN_ERROR_ARGUMENT, "axis 0 is outside");
    assert_fails(cnn_pad(&t, a, I64(0, -1), I64(0, 0), 0), CNN_ERROR_ARGUMENT, "got -1 and 0 on axis 1");
    assert_fails(cnn_pad(&t, a, I64(INT64_MAX, 0), I64(INT64_MAX, 0), 0), CNN_ERROR_SHAPE, "too big");
    assert_fails(cnn_tile(&t, a, I64(1, -1)), CNN_ERROR_ARGUMENT, "got -1 on axis 1");
    assert_fails(cnn_tile(&t, a, I64(INT64_MAX, INT64_MAX)), CNN_ERROR_SHAPE, "too big");
    cnn_tensor_release(a);
    cnn_tensor_release(empty);
    cnn_tensor_release(scalar);
}

static void one_hot_marks_the_class(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_UINT8, SHAPE(3), 2, 0, 1), *f = TENSOR(CNN_FLOAT32, SHAPE(1, 1), 1), *t;
    cnn_tensor *bad = TENSOR(CNN_INT32, SHAPE(2), 0, -1), *half = TENSOR(CNN_FLOAT32, SHAPE(2), 0.5, NAN);
    OK(cnn_one_hot(&t, a, 3));
    EXPECT(t, CNN_FLOAT32, SHAPE(3, 3), 0, 0, 1, 1, 0, 0, 0, 1, 0);
    OK(cnn_one_hot(&t, f, 2));
    EXPECT(t, CNN_FLOAT32, SHAPE(1, 1, 2), 0, 1);
    assert_fails(cnn_one_hot(&t, a, 2), CNN_ERROR_ARGUMENT,
                 "one_hot: expected whole labels from 0 to 1, got 2 (number 1)");
    assert_fails(cnn_one_hot(&t, bad, 2), CNN_ERROR_ARGUMENT, "got -1 (number 2)");
    assert_fails(cnn_one_hot(&t, half, 2), CNN_ERROR_ARGUMENT, "got 0.5");
    assert_fails(cnn_one_hot(&t, a, 0), CNN_ERROR_ARGUMENT, "at least 1 class, got 0");
    assert_fails(cnn_one_hot(&t, a, INT64_MAX), CNN_ERROR_SHAPE, "too big");
    cnn_tensor_release(a);
    cnn_tensor_release(f);
    cnn_tensor_release(bad);
    cnn_tensor_release(half);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_step_through_every_axis),
        cmocka_unit_test(assignment_broadcasts_into_a_block),
        cmocka_unit_test(assignment_from_itself_reads_before_it_writes),
        cmocka_unit_test(transpose_moves_axes),
        cmocka_unit_test(transposes_of_any_order_equal_the_definition),
        cmocka_unit_test(gather_takes_rows_by_index),
        cmocka_unit_test(concat_joins_along_an_axis),
        cmocka_unit_test(stack_makes_an_axis),
        cmocka_unit_test(flip_pad_tile_and_broadcast_copy),
        cmocka_unit_test(one_hot_marks_the_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
