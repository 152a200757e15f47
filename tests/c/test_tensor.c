/* Tensors as objects: made, counted, viewed, converted; what they refuse; memory that runs out. */
#include "tensor_test.h"
#include "tensor/tensor.h"

#include <stdlib.h>

/* ---- making ------------------------------------------------------------------------------------------ */

static void new_tensors_are_zero_and_aligned(void **state) {
    (void)state;
    cnn_tensor *t;
    OK(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(2, 3, 5)));
    assert_int_equal(t->size, 30);
    assert_int_equal(t->refs, 1);
    assert_int_equal((uintptr_t)t->data % 64, 0);
    assert_int_equal(cnn_tensor_bytes(t), 120);
    for (int i = 0; i < 30; i++) assert_true(cnn_f32(t)[i] == 0);
    cnn_tensor_release(t);
}

static void scalars_and_empty_tensors_are_tensors(void **state) {
    (void)state;
    cnn_tensor *t;
    OK(cnn_tensor_full(&t, CNN_INT32, 0, NULL, 7));
    EXPECT(t, CNN_INT32, SCALAR, 7);
    OK(cnn_tensor_new(&t, CNN_UINT8, SHAPE(3, 0, 2)));
    assert_int_equal(t->size, 0);
    assert_non_null(t->data);
    assert_int_equal(cnn_tensor_bytes(t), 0);
    cnn_tensor_release(t);
}

static void impossible_shapes_are_refused(void **state) {
    (void)state;
    cnn_tensor *t = NULL;
    assert_fails(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(2, -3)), CNN_ERROR_SHAPE, "got -3 on axis 1");
    assert_fails(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)), CNN_ERROR_SHAPE,
                 "at most 8 axes, got 9");
    assert_fails(cnn_tensor_new(&t, CNN_FLOAT32, -1, NULL), CNN_ERROR_SHAPE, "got -1");
    assert_fails(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(INT64_MAX, INT64_MAX)), CNN_ERROR_SHAPE, "too big");
    assert_fails(cnn_tensor_new(&t, CNN_UINT8, SHAPE(1 << 20, (1 << 20) + 1)), CNN_ERROR_SHAPE, "too big");
    assert_fails(cnn_tensor_new(&t, CNN_UINT8, SHAPE(0, INT64_MAX, 2)), CNN_ERROR_SHAPE, "too big");
    assert_fails(cnn_tensor_new(&t, (cnn_dtype)9, SHAPE(1)), CNN_ERROR_DTYPE, "unknown dtype 9");
    assert_null(t);
}

static void values_are_copied_in(void **state) {
    (void)state;
    cnn_tensor *t;
    OK(cnn_tensor_from(&t, CNN_INT32, SHAPE(2, 2), (int32_t[]){1, -2, 3, 4}));
    EXPECT(t, CNN_INT32, SHAPE(2, 2), 1, -2, 3, 4);
    OK(cnn_tensor_full(&t, CNN_BFLOAT16, SHAPE(3), 1.5));
    EXPECT(t, CNN_BFLOAT16, SHAPE(3), 1.5, 1.5, 1.5);
    OK(cnn_eye(&t, CNN_FLOAT32, 2, 3));
    EXPECT(t, CNN_FLOAT32, SHAPE(2, 3), 1, 0, 0, 0, 1, 0);
}

static void arange_counts_below_its_stop(void **state) {
    (void)state;
    cnn_tensor *t;
    OK(cnn_arange(&t, CNN_FLOAT32, 0, 1, 0.25));
    EXPECT(t, CNN_FLOAT32, SHAPE(4), 0, 0.25, 0.5, 0.75);
    OK(cnn_arange(&t, CNN_INT32, 5, -1, -2));
    EXPECT(t, CNN_INT32, SHAPE(3), 5, 3, 1);
    OK(cnn_arange(&t, CNN_INT32, 5, 5, 1));
    assert_int_equal(t->size, 0);
    cnn_tensor_release(t);
    OK(cnn_arange(&t, CNN_INT32, 5, 9, -1));
    assert_int_equal(t->size, 0);
    cnn_tensor_release(t);
    assert_fails(cnn_arange(&t, CNN_INT32, 0, 5, 0), CNN_ERROR_ARGUMENT, "step other than 0");
    assert_fails(cnn_arange(&t, CNN_INT32, 0, INFINITY, 1), CNN_ERROR_ARGUMENT, "finite");
    assert_fails(cnn_arange(&t, CNN_INT32, 0, 1e300, 1e-300), CNN_ERROR_SHAPE, "too big");
    assert_fails(cnn_arange(&t, CNN_INT32, 0, 1e30, 1), CNN_ERROR_SHAPE, "too big");
}

static void dtypes_have_names(void **state) {
    (void)state;
    cnn_dtype dtype = CNN_UINT8;
    OK(cnn_dtype_from_name(&dtype, "bfloat16"));
    assert_int_equal(dtype, CNN_BFLOAT16);
    assert_string_equal(cnn_dtype_name(CNN_INT32), "int32");
    assert_fails(cnn_dtype_from_name(&dtype, "flaot32"), CNN_ERROR_DTYPE, "did you mean 'float32'?");
    assert_fails(cnn_dtype_from_name(&dtype, "complex"), CNN_ERROR_DTYPE, "got 'complex'");
    assert_int_equal(dtype, CNN_BFLOAT16);
}

/* ---- elements ---------------------------------------------------------------------------------------- */

static void setting_rounds_and_saturates(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(6), 2.5, 3.5, -1, 256, NAN, INFINITY);
    EXPECT(t, CNN_UINT8, SHAPE(6), 2, 4, 0, 255, 0, 255);
    t = TENSOR(CNN_INT32, SHAPE(4), 1e10, -1e10, 2147483647, -1.6);
    EXPECT(t, CNN_INT32, SHAPE(4), INT32_MAX, INT32_MIN, INT32_MAX, -2);
}

static void positions_outside_are_harmless(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(2), 1, 2);
    assert_true(isnan(cnn_tensor_get(t, 2)));
    assert_true(isnan(cnn_tensor_get(t, -1)));
    cnn_tensor_set(t, 2, 9);
    EXPECT(t, CNN_FLOAT32, SHAPE(2), 1, 2);
}

static void casts_truncate_and_saturate(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(8), 1.9, -1.9, 300, -5, NAN, INFINITY, -INFINITY, 3e9), *t;
    OK(cnn_cast(&t, a, CNN_UINT8));
    EXPECT(t, CNN_UINT8, SHAPE(8), 1, 0, 255, 0, 0, 255, 0, 255);
    OK(cnn_cast(&t, a, CNN_INT32));
    EXPECT(t, CNN_INT32, SHAPE(8), 1, -1, 300, -5, 0, INT32_MAX, INT32_MIN, INT32_MAX);
    OK(cnn_copy(&t, a));
    assert_ptr_not_equal(t->data, a->data);
    EXPECT(t, CNN_FLOAT32, SHAPE(8), (double)1.9f, (double)-1.9f, 300, -5, NAN, INFINITY, -INFINITY, 3e9);
    assert_fails(cnn_cast(&t, a, (cnn_dtype)77), CNN_ERROR_DTYPE, "astype: unknown dtype 77");
    cnn_tensor_release(a);
    a = TENSOR(CNN_INT32, SHAPE(4), -7, 12, 256, INT32_MAX);
    OK(cnn_cast(&t, a, CNN_UINT8));
    EXPECT(t, CNN_UINT8, SHAPE(4), 0, 12, 255, 255);
    cnn_tensor_release(a);
}

static void bfloat16_rounds_to_nearest_even(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(6), 1, 1 + 0x1p-8, 1 + 3 * 0x1p-8, 3.4e38, NAN, -0x1.018p0), *t,
               *back;
    OK(cnn_cast(&t, a, CNN_BFLOAT16));
    OK(cnn_cast(&back, t, CNN_FLOAT32));
    EXPECT(back, CNN_FLOAT32, SHAPE(6), 1, 1, 1 + 0x1p-6, INFINITY, NAN, -0x1.02p0);
    OK(cnn_cast(&back, t, CNN_INT32));
    EXPECT(back, CNN_INT32, SHAPE(6), 1, 1, 1, INT32_MAX, 0, -1);
    cnn_tensor_release(t);
    cnn_tensor_release(a);
}

/* ---- references and views ---------------------------------------------------------------------------- */

static void a_view_keeps_its_root_alive(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    cnn_tensor *a = TENSOR(CNN_FLOAT32, SHAPE(3, 2), 1, 2, 3, 4, 5, 6), *view, *inner;
    OK(cnn_view(&view, a, 1, 3));
    OK(cnn_view(&inner, view, 1, 2));
    assert_ptr_equal(inner->base, a);
    assert_int_equal(a->refs, 3);
    cnn_tensor_release(a);
    cnn_tensor_release(view);
    cnn_tensor_set(inner, 0, 50);
    EXPECT(inner, CNN_FLOAT32, SHAPE(1, 2), 50, 6);
    assert_int_equal(cnn_memory_used(), before);
    cnn_tensor_release(NULL);
    assert_null(cnn_tensor_retain(NULL));
}

static void views_share_memory(void **state) {
    (void)state;
    cnn_tensor *a = TENSOR(CNN_INT32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6), *t;
    OK(cnn_reshape(&t, a, SHAPE(3, -1)));
    cnn_tensor_set(t, 0, 9);
    EXPECT(t, CNN_INT32, SHAPE(3, 2), 9, 2, 3, 4, 5, 6);
    OK(cnn_expand_dims(&t, a, -1));
    EXPECT(t, CNN_INT32, SHAPE(2, 3, 1), 9, 2, 3, 4, 5, 6);
    OK(cnn_expand_dims(&t, a, 0));
    assert_ptr_equal(t->data, a->data);
    cnn_tensor *flat;
    OK(cnn_squeeze(&flat, t, -3));
    cnn_tensor_release(t);
    EXPECT(flat, CNN_INT32, SHAPE(2, 3), 9, 2, 3, 4, 5, 6);
    OK(cnn_view(&t, a, 1, 1));
    assert_int_equal(t->size, 0);
    cnn_tensor_release(t);
    cnn_tensor_release(a);
}

static void views_that_cannot_be_are_refused(void **state) {
    (void)state;
    cnn_tensor *a, *scalar, *empty, *t = NULL;
    OK(cnn_tensor_new(&a, CNN_UINT8, SHAPE(28, 28)));
    OK(cnn_tensor_new(&scalar, CNN_UINT8, 0, NULL));
    OK(cnn_tensor_new(&empty, CNN_UINT8, SHAPE(0)));
    assert_fails(cnn_reshape(&t, a, SHAPE(28, 27)), CNN_ERROR_SHAPE,
                 "reshape: cannot give 784 elements the shape (28, 27)");
    assert_fails(cnn_reshape(&t, a, SHAPE(-1, -1)), CNN_ERROR_SHAPE, "the shape (-1, -1)");
    assert_fails(cnn_reshape(&t, a, SHAPE(-1, 30)), CNN_ERROR_SHAPE, "(-1, 30)");
    assert_fails(cnn_reshape(&t, a, SHAPE(-2, 28)), CNN_ERROR_SHAPE, "(-2, 28)");
    assert_fails(cnn_reshape(&t, a, SHAPE(INT64_MAX, INT64_MAX, 16)), CNN_ERROR_SHAPE, "cannot give");
    assert_fails(cnn_reshape(&t, a, SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 784)), CNN_ERROR_SHAPE, "at most 8");
    assert_fails(cnn_reshape(&t, empty, SHAPE(0, -1)), CNN_ERROR_SHAPE, "cannot give 0 elements");
    assert_fails(cnn_reshape(&t, empty, SHAPE(0, INT64_MAX)), CNN_ERROR_SHAPE, "too big");
    assert_fails(cnn_view(&t, a, 0, 29), CNN_ERROR_ARGUMENT, "within 0 to 28, got 0 to 29");
    assert_fails(cnn_view(&t, a, -1, 2), CNN_ERROR_ARGUMENT, "got -1 to 2");
    assert_fails(cnn_view(&t, a, 3, 2), CNN_ERROR_ARGUMENT, "got 3 to 2");
    assert_fails(cnn_view(&t, scalar, 0, 0), CNN_ERROR_SHAPE, "a scalar has no rows");
    assert_fails(cnn_squeeze(&t, a, 0), CNN_ERROR_SHAPE, "axis 0 has size 28");
    assert_fails(cnn_squeeze(&t, scalar, 0), CNN_ERROR_ARGUMENT, "axis 0 is outside a tensor of 0 axes");
    assert_fails(cnn_expand_dims(&t, a, 4), CNN_ERROR_ARGUMENT, "axis 4 is outside");
    assert_null(t);
    assert_int_equal(a->refs, 1);
    cnn_tensor_release(a);
    cnn_tensor_release(scalar);
    cnn_tensor_release(empty);
}

/* ---- symbolic tensors -------------------------------------------------------------------------------- */

static struct cnn_node *released_node;

static void note_node(struct cnn_node *node) {
    released_node = node;
}

static void symbolic_tensors_have_a_shape_and_no_values(void **state) {
    (void)state;
    cnn_tensor *s, *t = NULL, *a = TENSOR(CNN_FLOAT32, SHAPE(1), 1);
    bool close;
    char *text;
    OK(cnn_tensor_symbolic(&s, CNN_FLOAT32, SHAPE(-1, 28)));
    assert_int_equal(s->size, -1);
    assert_int_equal(cnn_tensor_bytes(s), 0);
    assert_true(isnan(cnn_tensor_get(s, 0)));
    cnn_tensor_set(s, 0, 1);
    const char *none = "a symbolic tensor has no values";
    assert_fails(cnn_copy(&t, s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_reshape(&t, s, SHAPE(-1)), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_view(&t, s, 0, 1), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_binary(&t, CNN_ADD, s, s), CNN_ERROR_ARGUMENT, "add: a symbolic tensor");
    assert_fails(cnn_binary(&t, CNN_ADD, a, s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_binary_number(&t, CNN_MUL, s, 2, false), CNN_ERROR_ARGUMENT, "multiply: a symbolic");
    assert_fails(cnn_unary(&t, CNN_EXP, s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_clip(&t, s, 0, 1), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_reduce(&t, CNN_SUM, s, 0, false), CNN_ERROR_ARGUMENT, "sum: a symbolic");
    assert_fails(cnn_matmul(&t, a, s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_where(&t, a, a, s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_transpose(&t, s, NULL), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_slice(&t, s, I64(0, 0), I64(1, 1), I64(1, 1)), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_slice_assign(a, I64(0), I64(1), I64(1), s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_gather(&t, s, a, 0), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_concat(&t, (const cnn_tensor *[]){a, s}, 2, 0), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_stack(&t, (const cnn_tensor *[]){a, s}, 2, 0), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_flip(&t, s, 0), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_pad(&t, s, I64(0, 0), I64(0, 0), 0), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_tile(&t, s, I64(1, 1)), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_one_hot(&t, s, 3), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_broadcast_to(&t, s, SHAPE(1, 28)), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_allclose(&close, s, a, 0, 0), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_tensor_format(&text, s), CNN_ERROR_ARGUMENT, none);
    assert_fails(cnn_copy(&t, NULL), CNN_ERROR_ARGUMENT, "expected a tensor, got none");
    assert_null(t);
    cnn_tensor_release(a);
    void (*before)(struct cnn_node *) = cnn_node_release_hook;
    cnn_node_release_hook = note_node;
    struct cnn_node *node = (struct cnn_node *)&released_node;
    s->node = node;
    cnn_tensor_release(cnn_tensor_retain(s));
    assert_null(released_node);
    cnn_tensor_release(s);
    assert_ptr_equal(released_node, node);
    cnn_node_release_hook = before;
    assert_fails(cnn_tensor_symbolic(&s, CNN_FLOAT32, SHAPE(-2)), CNN_ERROR_SHAPE, "got -2");
}

/* ---- memory that runs out ---------------------------------------------------------------------------- */

typedef struct operands {
    cnn_tensor *a, *b, *index;
} operands;

static cnn_status by_name(cnn_tensor **out, const char *name, operands *o) {
    cnn_tensor *a = o->a, *b = o->b;
    if (!strcmp(name, "zeros")) return cnn_tensor_new(out, CNN_FLOAT32, a->rank, a->shape);
    if (!strcmp(name, "full")) return cnn_tensor_full(out, CNN_FLOAT32, a->rank, a->shape, 1);
    if (!strcmp(name, "from")) return cnn_tensor_from(out, CNN_FLOAT32, a->rank, a->shape, a->data);
    if (!strcmp(name, "symbolic")) return cnn_tensor_symbolic(out, CNN_FLOAT32, a->rank, a->shape);
    if (!strcmp(name, "arange")) return cnn_arange(out, CNN_INT32, 0, 9, 1);
    if (!strcmp(name, "eye")) return cnn_eye(out, CNN_INT32, 3, 3);
    if (!strcmp(name, "copy")) return cnn_copy(out, a);
    if (!strcmp(name, "astype")) return cnn_cast(out, a, CNN_UINT8);
    if (!strcmp(name, "reshape")) return cnn_reshape(out, a, SHAPE(-1));
    if (!strcmp(name, "view")) return cnn_view(out, a, 0, 1);
    if (!strcmp(name, "slice")) return cnn_slice(out, a, I64(0, 0), I64(1, 1), I64(1, 1));
    if (!strcmp(name, "assign")) return cnn_slice_assign(a, I64(0, 0), I64(2, 2), I64(1, 1), a);
    if (!strcmp(name, "transpose")) return cnn_transpose(out, a, NULL);
    if (!strcmp(name, "gather")) return cnn_gather(out, a, o->index, 0);
    if (!strcmp(name, "concat")) return cnn_concat(out, (const cnn_tensor *[]){a, b}, 2, 1);
    if (!strcmp(name, "stack")) return cnn_stack(out, (const cnn_tensor *[]){a, b}, 2, 0);
    if (!strcmp(name, "expand_dims")) return cnn_expand_dims(out, a, 0);
    if (!strcmp(name, "flip")) return cnn_flip(out, a, 0);
    if (!strcmp(name, "pad")) return cnn_pad(out, a, I64(1, 1), I64(1, 1), 0);
    if (!strcmp(name, "tile")) return cnn_tile(out, a, I64(2, 2));
    if (!strcmp(name, "broadcast_to")) return cnn_broadcast_to(out, a, SHAPE(3, 2, 2));
    if (!strcmp(name, "one_hot")) return cnn_one_hot(out, o->index, 5);
    if (!strcmp(name, "add")) return cnn_binary(out, CNN_ADD, a, b);
    if (!strcmp(name, "number")) return cnn_binary_number(out, CNN_ADD, a, 2, true);
    if (!strcmp(name, "where")) return cnn_where(out, a, a, b);
    if (!strcmp(name, "exp")) return cnn_unary(out, CNN_EXP, a);
    if (!strcmp(name, "clip")) return cnn_clip(out, a, 0, 1);
    if (!strcmp(name, "std")) return cnn_reduce(out, CNN_STD, a, 1, false);
    return cnn_matmul(out, a, b);
}

static const char *const fallible[] = {
    "zeros",       "full", "from",  "symbolic", "arange",       "eye",     "copy",   "astype",
    "reshape",     "view", "slice", "assign",   "transpose",    "gather",  "concat", "stack",
    "expand_dims", "flip", "pad",   "tile",     "broadcast_to", "one_hot", "add",    "number",
    "where",       "exp",  "clip",  "std",      "matmul"};

static const char *current;

static cnn_status run_current(cnn_tensor **out, void *data) {
    return by_name(out, current, data);
}

static void exhausted_memory_is_a_status(void **state) {
    (void)state;
    operands o = {TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1, 2, 3, 4), TENSOR(CNN_FLOAT32, SHAPE(2, 2), 5, 6, 7, 8),
                  TENSOR(CNN_INT32, SHAPE(3), 0, 1, 0)};
    for (size_t i = 0; i < sizeof fallible / sizeof *fallible; i++) {
        current = fallible[i];
        assert_survives(run_current, &o);
    }
    EXPECT(o.a, CNN_FLOAT32, SHAPE(2, 2), 1, 2, 3, 4);
    cnn_tensor_release(o.b);
    cnn_tensor_release(o.index);
}

static void printing_survives_exhausted_memory(void **state) {
    (void)state;
    cnn_tensor *a;
    OK(cnn_arange(&a, CNN_FLOAT32, 0, 500, 1));
    for (int n = 0;; n++) {
        char *text = NULL;
        allocations_left = n;
        cnn_set_alloc_hook(fail_at_zero, NULL);
        cnn_status status = cnn_tensor_format(&text, a);
        cnn_set_alloc_hook(NULL, NULL);
        if (status == CNN_OK) {
            assert_true(n > 1);
            free(text);
            break;
        }
        assert_int_equal(status, CNN_ERROR_MEMORY);
        assert_null(text);
    }
    cnn_tensor_release(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_tensors_are_zero_and_aligned),
        cmocka_unit_test(scalars_and_empty_tensors_are_tensors),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(values_are_copied_in),
        cmocka_unit_test(arange_counts_below_its_stop),
        cmocka_unit_test(dtypes_have_names),
        cmocka_unit_test(setting_rounds_and_saturates),
        cmocka_unit_test(positions_outside_are_harmless),
        cmocka_unit_test(casts_truncate_and_saturate),
        cmocka_unit_test(bfloat16_rounds_to_nearest_even),
        cmocka_unit_test(a_view_keeps_its_root_alive),
        cmocka_unit_test(views_share_memory),
        cmocka_unit_test(views_that_cannot_be_are_refused),
        cmocka_unit_test(symbolic_tensors_have_a_shape_and_no_values),
        cmocka_unit_test(exhausted_memory_is_a_status),
        cmocka_unit_test(printing_survives_exhausted_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
