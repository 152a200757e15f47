/* The gradient tape from C: what it records and gives back, versions, blocks, several tapes, memory that runs out. */
#include "tensor_test.h"
#include "ops/tape.h"

#define F32 CNN_FLOAT32

static cnn_tensor *variable(double a, double b) {
    cnn_tensor *t = TENSOR(F32, SHAPE(2), a, b);
    t->trainable = true;
    return t;
}

/* op(a, b) or, where b is NULL, op(a). */
static cnn_tensor *apply(const char *op, cnn_tensor *a, cnn_tensor *b) {
    cnn_tensor *out = NULL, *inputs[] = {a, b};
    OK(cnn_apply(&out, op, NULL, inputs, b ? 2 : 1));
    return out;
}

static void gradients_follow_the_chain_and_add_up(void **state) {
    (void)state;
    cnn_tape *tape;
    cnn_tensor *w = variable(1, 2), *g = NULL;
    OK(cnn_tape_new(&tape, false, true));
    cnn_tensor *square = apply("square", w, NULL), *both = apply("add", square, w),
               *sum = apply("sum", both, NULL);
    OK(cnn_tape_gradient(tape, sum, &w, 1, NULL, &g));
    EXPECT(g, F32, SHAPE(2), 3, 5);
    assert_fails(cnn_tape_gradient(tape, sum, &w, 1, NULL, &g), CNN_ERROR_STATE, "already taken");
    cnn_tape_free(tape);
    cnn_tensor_release(sum);
    cnn_tensor_release(both);
    cnn_tensor_release(square);
    cnn_tensor_release(w);
}

static void a_source_that_took_no_part_has_none(void **state) {
    (void)state;
    cnn_tape *tape;
    cnn_tensor *w = variable(1, 2), *other = variable(3, 4), *g[2] = {NULL};
    OK(cnn_tape_new(&tape, true, true));
    cnn_tensor *y = apply("neg", w, NULL), *sources[] = {other, w};
    OK(cnn_tape_gradient(tape, y, sources, 2, NULL, g));
    assert_null(g[0]);
    EXPECT(g[1], F32, SHAPE(2), -1, -1);
    cnn_tensor *weights = TENSOR(F32, SHAPE(2), 10, 100);
    OK(cnn_tape_gradient(tape, y, sources, 2, weights, g));
    EXPECT(g[1], F32, SHAPE(2), -10, -100);
    cnn_tensor_release(weights);
    cnn_tape_free(tape);
    cnn_tensor_release(y);
    cnn_tensor_release(other);
    cnn_tensor_release(w);
}

static void what_was_written_to_is_refused_where_it_matters(void **state) {
    (void)state;
    cnn_tape *tape;
    cnn_tensor *w = variable(1, 2), *g = NULL;
    OK(cnn_tape_new(&tape, true, true));
    cnn_tensor *linear = apply("add", w, w), *product = apply("multiply", w, w);
    cnn_tape_written(w);
    assert_fails(cnn_tape_gradient(tape, product, &w, 1, NULL, &g), CNN_ERROR_STATE, "changed in place");
    assert_null(g);
    OK(cnn_tape_gradient(tape, linear, &w, 1, NULL, &g));
    EXPECT(g, F32, SHAPE(2), 2, 2);
    cnn_tape_free(tape);
    cnn_tensor_release(linear);
    cnn_tensor_release(product);
    cnn_tensor_release(w);
}

static void a_view_shares_its_owner_s_version(void **state) {
    (void)state;
    cnn_tape *tape;
    cnn_tensor *x = TENSOR(F32, SHAPE(2), 1, 2), *view, *g = NULL;
    OK(cnn_view(&view, x, 0, 1));
    OK(cnn_tape_new(&tape, false, true));
    OK(cnn_tape_watch(tape, x));
    cnn_tensor *y = apply("square", x, NULL);
    cnn_tape_written(view);
    assert_fails(cnn_tape_gradient(tape, y, &x, 1, NULL, &g), CNN_ERROR_STATE, "changed in place");
    cnn_tape_free(tape);
    cnn_tensor_release(y);
    cnn_tensor_release(view);
    cnn_tensor_release(x);
}

static void blocks_are_named_by_the_first_of_them(void **state) {
    (void)state;
    cnn_tape *tape;
    cnn_tensor *w = variable(1, 2), *rounded = TENSOR(F32, SHAPE(2), 1, 2),
               *cast = TENSOR(F32, SHAPE(2), 1, 2);
    cnn_tensor *g = NULL;
    OK(cnn_tape_new(&tape, false, true));
    OK(cnn_tape_block("round", w, rounded));
    OK(cnn_tape_block("cast", rounded, cast));
    cnn_tensor *y = apply("neg", cast, NULL);
    assert_fails(cnn_tape_gradient(tape, y, &w, 1, NULL, &g), CNN_ERROR_STATE, "'round' has no gradient");
    cnn_tape_free(tape);
    cnn_tensor_release(y);
    cnn_tensor_release(cast);
    cnn_tensor_release(rounded);
    cnn_tensor_release(w);
}

static void tapes_nest_and_stop_in_any_order(void **state) {
    (void)state;
    cnn_tape *outer, *inner;
    cnn_tensor *w = variable(1, 2), *g = NULL;
    OK(cnn_tape_new(&outer, false, true));
    OK(cnn_tape_new(&inner, false, true));
    cnn_tensor *y = apply("square", w, NULL);
    cnn_tape_stop(outer);
    cnn_tensor *z = apply("neg", y, NULL);
    OK(cnn_tape_gradient(outer, y, &w, 1, NULL, &g));
    EXPECT(g, F32, SHAPE(2), 2, 4);
    OK(cnn_tape_gradient(inner, z, &w, 1, NULL, &g));
    EXPECT(g, F32, SHAPE(2), -2, -4);
    cnn_tape_free(outer);
    cnn_tape_free(inner);
    assert_false(cnn_tape_follows(&w, 1));
    cnn_tensor_release(z);
    cnn_tensor_release(y);
    cnn_tensor_release(w);
}

static void stopping_resuming_and_resetting(void **state) {
    (void)state;
    cnn_tape *tape;
    cnn_tensor *w = variable(1, 2), *g = NULL;
    OK(cnn_tape_new(&tape, false, true));
    cnn_tape_stop(tape);
    cnn_tensor *unseen = apply("neg", w, NULL);
    assert_fails(cnn_tape_gradient(tape, unseen, &w, 1, NULL, &g), CNN_ERROR_STATE, "not recorded");
    cnn_tape_resume(tape);
    cnn_tensor *seen = apply("neg", w, NULL);
    OK(cnn_tape_gradient(tape, seen, &w, 1, NULL, &g));
    EXPECT(g, F32, SHAPE(2), -1, -1);
    cnn_tape_resume(tape);
    assert_false(cnn_tape_follows(&w, 1));
    cnn_tape_reset(tape);
    assert_true(cnn_tape_follows(&w, 1));
    cnn_tape_free(tape);
    cnn_tensor_release(seen);
    cnn_tensor_release(unseen);
    cnn_tensor_release(w);
}

static bool refuse_after(size_t size, void *data) {
    (void)size;
    return (*(int *)data)-- <= 0;
}

/* Whichever allocation fails, nothing is lost and nothing is used after it is freed. */
static void exhausted_memory_is_a_status(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    bool through = false;
    for (int good = 0; !through && good < 500; good++) {
        cnn_tape *tape = NULL;
        cnn_tensor *w = variable(1, 2), *y = NULL, *z = NULL, *g = NULL;
        int left = good;
        cnn_set_alloc_hook(refuse_after, &left);
        cnn_status status = cnn_tape_new(&tape, false, true);
        cnn_tensor *inputs[] = {w, w};
        if (status == CNN_OK) status = cnn_apply(&y, "multiply", NULL, inputs, 2);
        if (status == CNN_OK) status = cnn_apply(&z, "sum", NULL, &y, 1);
        if (status == CNN_OK) status = cnn_tape_gradient(tape, z, &w, 1, NULL, &g);
        cnn_set_alloc_hook(NULL, NULL);
        through = status == CNN_OK;
        if (through) EXPECT(g, F32, SHAPE(2), 2, 4);
        if (!through) assert_int_equal(status, CNN_ERROR_MEMORY);
        cnn_tape_free(tape);
        cnn_tensor_release(z);
        cnn_tensor_release(y);
        cnn_tensor_release(w);
        assert_int_equal(cnn_memory_used(), before);
    }
    assert_true(through);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_follow_the_chain_and_add_up),
        cmocka_unit_test(a_source_that_took_no_part_has_none),
        cmocka_unit_test(what_was_written_to_is_refused_where_it_matters),
        cmocka_unit_test(a_view_shares_its_owner_s_version),
        cmocka_unit_test(blocks_are_named_by_the_first_of_them),
        cmocka_unit_test(tapes_nest_and_stop_in_any_order),
        cmocka_unit_test(stopping_resuming_and_resetting),
        cmocka_unit_test(exhausted_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
