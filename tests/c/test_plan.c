/* Plans: losses, outputs and gradients of whole networks against a reference that runs op by op and against finite
 * differences; the same bits for any number of threads, from memory full of NaNs; fusion; nothing allocated while a
 * plan runs; the arena; graphs that are deep, wide or wrong. */
#include "net.h"

#include "base/parallel.h"
#include "ops/conv_kinds.h"
#include "ops/dense.h"

/* ---- networks -------------------------------------------------------------------------------------------- */

static void classifier(net *n) {
    cnn_tensor *x = input(n, SHAPE(13, 11, 1));
    x = layer(n, "Conv2D", "{\"filters\": 7, \"kernel_size\": 3, \"activation\": \"relu\"}", x);
    x = layer(n, "MaxPooling2D", NULL, x);
    x = layer(n, "Conv2D",
              "{\"filters\": 9, \"kernel_size\": 2, \"padding\": \"same\", \"activation\": \"relu\"}", x);
    x = layer(n, "MaxPooling2D", NULL, x);
    x = layer(n, "Flatten", NULL, x);
    x = layer(n, "Dense", "{\"units\": 13, \"activation\": \"relu\"}", x);
    n->classes = 5;
    output(n, layer(n, "Dense", "{\"units\": 5, \"activation\": \"softmax\"}", x),
           "sparse_categorical_crossentropy");
}

/* What lies between convolution, relu and pooling is wanted too, so that nothing can be fused. */
static void unfused(net *n) {
    cnn_tensor *x = input(n, SHAPE(9, 8, 2));
    cnn_tensor *w = weights(n, true, .4, SHAPE(3, 3, 2, 6)), *b = weights(n, true, .1, SHAPE(6));
    cnn_tensor *sums = op3(n, "conv2d", NULL, x, w, b), *positive = op1(n, "relu", NULL, sums);
    cnn_tensor *y = op1(n, "flatten", NULL, op1(n, "max_pool2d", NULL, positive));
    output(n, layer(n, "Dense", "{\"units\": 3}", y), "mse");
    output(n, sums, NULL);
    output(n, positive, NULL);
}

static void fused(net *n) {
    cnn_tensor *x = input(n, SHAPE(9, 8, 2));
    cnn_tensor *w = weights(n, true, .4, SHAPE(3, 3, 2, 6)), *b = weights(n, true, .1, SHAPE(6));
    cnn_tensor *y = op1(n, "max_pool2d", NULL, op1(n, "relu", NULL, op3(n, "conv2d", NULL, x, w, b)));
    output(n, layer(n, "Dense", "{\"units\": 3}", op1(n, "flatten", NULL, y)), "mse");
}

static void pooled_without_relu(net *n) {
    cnn_tensor *x = input(n, SHAPE(10, 9, 3));
    cnn_tensor *y = op2(n, "conv2d", "{\"groups\": 3}", x, weights(n, true, .4, SHAPE(2, 2, 1, 6)));
    y = op1(n, "max_pool2d", "{\"pool_size\": [3, 2]}", y);
    output(n, op1(n, "relu", NULL, op1(n, "relu", NULL, y)), "huber");
}

static void branches(net *n) {
    cnn_tensor *x = input(n, SHAPE(6, 5, 3));
    const char *same = "{\"padding\": \"same\"}";
    cnn_tensor *a = op2(n, "conv2d", same, x, weights(n, true, .3, SHAPE(3, 3, 3, 4)));
    cnn_tensor *b = op2(n, "conv2d", same, x, weights(n, true, .3, SHAPE(1, 1, 3, 4)));
    cnn_tensor *sum = op2(n, "add", NULL, a, b), *product = op2(n, "multiply", NULL, a, b);
    cnn_tensor *all = op3(n, "concatenate", NULL, sum, product, op1(n, "tanh", NULL, a));
    cnn_tensor *best = op2(n, "maximum", NULL, sum, op1(n, "relu", NULL, product));
    all = op2(n, "concatenate", NULL, all, best);
    output(n, op1(n, "global_avg_pool2d", NULL, all), "mean_absolute_error");
}

static void twice_the_same(net *n) {
    cnn_tensor *x = input(n, SHAPE(4, 3)), *w = weights(n, true, .5, SHAPE(3, 5));
    cnn_tensor *a = op2(n, "dense", NULL, x, w);
    cnn_tensor *square = op2(n, "multiply", NULL, a, a), *more = op2(n, "add", NULL, square, square);
    cnn_tensor *three = op3(n, "average", NULL, more, a, more);
    output(n, op3(n, "concatenate", "{\"axis\": 1}", three, three, a), "mse");
}

static void shared_layer(net *n) {
    cnn_tensor *x = input(n, SHAPE(6)), *y = input(n, SHAPE(6));
    cnn_layer *dense = NULL;
    OK(cnn_layer_new(&dense, "Dense", "{\"units\": 6, \"activation\": \"tanh\"}"));
    cnn_tensor *a = call_layer(n, dense, call_layer(n, dense, x)), *b = call_layer(n, dense, y);
    cnn_layer_release(dense);
    output(n, op2(n, "subtract", NULL, a, b), "mse");
}

static void stopped(net *n) {
    cnn_tensor *x = input(n, SHAPE(5)), *w = weights(n, true, .5, SHAPE(5, 4)),
               *v = weights(n, true, .5, SHAPE(4, 4));
    cnn_tensor *a = op2(n, "dense", NULL, x, w),
               *still = op1(n, "stop_gradient", NULL, op1(n, "tanh", NULL, a));
    output(n, op2(n, "multiply", NULL, op2(n, "dense", NULL, still, v), a), "mse");
}

static void aliases(net *n) {
    cnn_tensor *x = input(n, SHAPE(4, 3, 2));
    cnn_tensor *a = op2(n, "conv2d", NULL, x, weights(n, true, .4, SHAPE(2, 2, 2, 4)));
    cnn_tensor *flat = op1(n, "flatten", NULL, a),
               *other = op1(n, "reshape", "{\"target_shape\": [4, 6]}", flat);
    cnn_tensor *back = op1(n, "reshape", "{\"target_shape\": [-1]}", op1(n, "tanh", NULL, other));
    cnn_tensor *sum = op3(n, "average", NULL, back, flat, op1(n, "identity", NULL, flat));
    output(n, op2(n, "dense", NULL, sum, weights(n, true, .3, SHAPE(24, 3))), "mse");
    output(n, other, NULL);
    output(n, op1(n, "flatten", NULL, x), NULL);
    output(n, x, NULL);
}

/* One variable as the weights of dense and of conv2d, as an operand, and in two depths of memory. */
static void reused_weights(net *n) {
    cnn_tensor *x = input(n, SHAPE(6)), *w = weights(n, true, .4, SHAPE(6, 6)),
               *row = weights(n, true, .4, SHAPE(6));
    cnn_tensor *a = op3(n, "dense", NULL, op3(n, "dense", NULL, x, w, row), w, row);
    cnn_tensor *b = op2(n, "multiply", NULL, op2(n, "matmul", NULL, a, w), row);
    cnn_tensor *c = op2(n, "add", NULL, b, op2(n, "bias_add", NULL, a, row));
    output(n, op3(n, "dense", NULL, c, w, row), "mse");
}

static void frozen(net *n) {
    cnn_tensor *x = input(n, SHAPE(8, 8, 2));
    cnn_tensor *a = op2(n, "conv2d", NULL, x, weights(n, false, .4, SHAPE(3, 3, 2, 4)));
    a = op1(n, "max_pool2d", NULL, op1(n, "relu", NULL, a));
    a = op2(n, "conv2d", NULL, a, weights(n, true, .4, SHAPE(2, 2, 4, 4)));
    a = op2(n, "conv2d", NULL, op1(n, "relu", NULL, a), weights(n, false, .4, SHAPE(2, 2, 4, 4)));
    output(n, op1(n, "flatten", NULL, a), "mse");
}

static void all_frozen(net *n) {
    cnn_tensor *x = input(n, SHAPE(4));
    output(n, op2(n, "dense", NULL, x, weights(n, false, .4, SHAPE(4, 2))), "mse");
}

/* Constants, broadcasting, and ops that need the whole batch amid others. */
static void whole_batch(net *n) {
    cnn_tensor *x = input(n, SHAPE(3, 6));
    cnn_tensor *a = op2(n, "dense", NULL, x, weights(n, true, .5, SHAPE(6, 4)));
    a = op2(n, "add", NULL, a, weights(n, true, .5, SHAPE(4)));
    a = op2(n, "multiply", NULL, a, weights(n, false, 1, SHAPE(1, 3, 1)));
    cnn_tensor *mean = op1(n, "mean", "{\"axis\": 0, \"keepdims\": true}", a);
    cnn_tensor *centred = op2(n, "subtract", NULL, a, mean);
    cnn_tensor *spread = op1(n, "mean", "{\"axis\": [0, 1]}", op1(n, "square", NULL, centred));
    cnn_tensor *y = op2(n, "divide", NULL, centred,
                        op1(n, "sqrt", NULL, op2(n, "add", NULL, spread, weights(n, false, 1, SHAPE(1)))));
    y = op1(n, "tanh", NULL, op1(n, "flatten", NULL, y));
    y = op2(n, "matmul", NULL, y, weights(n, true, .4, SHAPE(12, 3)));
    output(n, op1(n, "softmax", NULL, y), "categorical_crossentropy");
    output(n, mean, NULL);
}

static void computed_weights(net *n) {
    cnn_tensor *x = input(n, SHAPE(6, 6, 2)), *w = weights(n, true, .5, SHAPE(3, 3, 2, 4));
    cnn_tensor *scaled = op2(n, "multiply", NULL, w, weights(n, true, 1, SHAPE(4)));
    cnn_tensor *a = op2(n, "conv2d", NULL, x, scaled);
    a = op2(n, "conv2d", NULL, a, op1(n, "tanh", NULL, weights(n, false, 1, SHAPE(2, 2, 4, 3))));
    a = op1(n, "flatten", NULL, op1(n, "relu", NULL, a));
    output(n, op2(n, "dense", NULL, a, op1(n, "tanh", NULL, weights(n, true, 1, SHAPE(27, 3)))), "mse");
}

static void large_dense(net *n) {
    cnn_tensor *x = input(n, SHAPE(7, 5, 3));
    cnn_tensor *a = op2(n, "conv2d", NULL, x, weights(n, true, .3, SHAPE(2, 2, 3, 12)));
    a = op1(n, "flatten", NULL, op1(n, "relu", NULL, a));
    a = op3(n, "dense", NULL, a, weights(n, true, .1, SHAPE(288, 130)), weights(n, true, .1, SHAPE(130)));
    a = op2(n, "dense", NULL, op1(n, "relu", NULL, a), weights(n, true, .1, SHAPE(130, 20)));
    a = op2(n, "dense", NULL, op1(n, "relu", NULL, a), weights(n, true, .1, SHAPE(20, 2000)));
    output(n, op1(n, "sigmoid", NULL, a), "binary_crossentropy");
}

static void transposed(net *n) {
    cnn_tensor *x = input(n, SHAPE(4));
    cnn_tensor *a = op2(n, "dense", NULL, x, weights(n, true, .5, SHAPE(4, 3)));
    cnn_tensor *turned = op1(n, "softmax", NULL, op1(n, "transpose", NULL, a));
    cnn_tensor *back = op1(n, "transpose", NULL, turned);
    output(n, op2(n, "add", NULL, op1(n, "tanh", NULL, back), a), "mse");
}

/* Rows of three are taken apart and put together again: in between the first axis is not the batch. */
static void regrouped(net *n) {
    cnn_tensor *x = input(n, SHAPE(3, 4));
    cnn_tensor *a = op2(n, "dense", NULL, x, weights(n, true, .5, SHAPE(4, 2)));
    cnn_tensor *rows = op1(n, "reshape", "{\"target_shape\": [-1, 2], \"keep_batch\": false}", a);
    rows = op1(n, "tanh", NULL, op2(n, "dense", NULL, rows, weights(n, true, .5, SHAPE(2, 5))));
    output(n, op1(n, "reshape", "{\"target_shape\": [-1, 15], \"keep_batch\": false}", rows), "mse");
}

static void two_losses(net *n) {
    cnn_tensor *x = input(n, SHAPE(5)), *y = input(n, SHAPE(2, 2, 1));
    cnn_tensor *a = op2(n, "dense", NULL, x, weights(n, true, .5, SHAPE(5, 4)));
    cnn_tensor *b = op2(n, "conv2d", NULL, y, weights(n, true, .5, SHAPE(1, 1, 1, 1)));
    cnn_tensor *sum = op2(n, "add", NULL, a, op1(n, "flatten", NULL, b));
    n->classes = 4;
    output(n, op1(n, "softmax", NULL, sum), "sparse_categorical_crossentropy");
    output(n, sum, "huber");
}

static void many_inputs(net *n) {
    cnn_tensor *x = input(n, SHAPE(2)), *w = weights(n, true, .5, SHAPE(2, 2)), *all[CNN_MAX_INPUTS];
    for (int i = 0; i < CNN_MAX_INPUTS; i++) all[i] = x = op1(n, "tanh", NULL, op2(n, "dense", NULL, x, w));
    output(n,
           op1(n, "mean", "{\"axis\": 1, \"keepdims\": true}",
               apply_list(n, "concatenate", NULL, all, CNN_MAX_INPUTS)),
           "mse");
}

static void dropped(net *n) {
    cnn_tensor *x = input(n, SHAPE(6, 6, 1));
    cnn_tensor *a = op2(n, "conv2d", NULL, x, weights(n, true, .5, SHAPE(3, 3, 1, 5)));
    a = op1(n, "dropout", "{\"rate\": 0.3, \"seed\": 5}", op1(n, "relu", NULL, a));
    a = op2(n, "dense", NULL, op1(n, "flatten", NULL, a), weights(n, true, .2, SHAPE(80, 500)));
    a = op1(n, "dropout", "{\"rate\": 0.5, \"seed\": 6}", a);
    output(n, op2(n, "dense", NULL, a, weights(n, true, .2, SHAPE(500, 2))), "mse");
}

static void nothing_between(net *n) {
    output(n, input(n, SHAPE(3)), "mse");
}

typedef struct net_case {
    const char *name;
    void (*build)(net *n);
    bool smooth; /* fit for finite differences */
} net_case;

static const net_case cases[] = {{"classifier", classifier, false},
                                 {"unfused", unfused, false},
                                 {"fused", fused, false},
                                 {"pooled_without_relu", pooled_without_relu, false},
                                 {"branches", branches, false},
                                 {"twice_the_same", twice_the_same, true},
                                 {"shared_layer", shared_layer, true},
                                 {"stopped", stopped, false},
                                 {"aliases", aliases, true},
                                 {"reused_weights", reused_weights, true},
                                 {"frozen", frozen, false},
                                 {"all_frozen", all_frozen, true},
                                 {"whole_batch", whole_batch, true},
                                 {"computed_weights", computed_weights, false},
                                 {"large_dense", large_dense, false},
                                 {"transposed", transposed, true},
                                 {"regrouped", regrouped, true},
                                 {"two_losses", two_losses, true},
                                 {"many_inputs", many_inputs, true},
                                 {"dropped", dropped, false},
                                 {"nothing_between", nothing_between, true}};
enum { CASE_COUNT = sizeof cases / sizeof *cases };
static const int64_t batches[] = {1, 2, 3, 5, 16, 33, 130};
enum { BATCH_COUNT = sizeof batches / sizeof *batches };

static void for_each_case(void (*check)(const net *n, int64_t batch)) {
    for (int i = 0; i < CASE_COUNT; i++) {
        size_t before = cnn_memory_used();
        net n = {0};
        cnn_set_seed(3);
        cases[i].build(&n);
        for (int k = 0; k < BATCH_COUNT; k++) check(&n, batches[k]);
        net_close(&n);
        if (cnn_memory_used() != before) fail_msg("%s leaks", cases[i].name);
    }
}

static const char *name_of(const net *n) {
    static char text[96];
    char shape[48] = "";
    for (int i = 0; i < n->outputs[0]->rank; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), " %d", (int)n->outputs[0]->shape[i]);
    snprintf(text, sizeof text, "the network with output%s, %d made", shape, n->made_count);
    return text;
}

/* ---- against the reference ------------------------------------------------------------------------------- */

static void expect_close(const net *n, const char *what, int64_t batch, const float *got, const float *want,
                         int64_t count) {
    double most = 0, off = 0;
    for (int64_t i = 0; i < count; i++) {
        if (fabs((double)want[i]) > most) most = fabs((double)want[i]);
        double difference = fabs((double)got[i] - (double)want[i]);
        if (!(difference <= off)) off = difference;
    }
    if (off <= 1e-4 * most + 1e-6) return;
    fail_msg("%s, batch %d: %s is off by %g of %g", name_of(n), (int)batch, what, off, most);
}

static void check_against_reference(const net *n, int64_t batch) {
    net_data d;
    make_data(&d, n, batch);
    reference ref;
    open_reference(&ref, n, &d, true);
    cnn_plan *plan = NULL;
    OK(make_plan(&plan, n, &d, batch, true, true));
    OK(run_plan(plan, n, &d, true));
    for (int i = 0; i < n->n_losses; i++)
        expect_close(n, "a loss", batch, cnn_plan_loss_values(plan, i), cnn_f32(ref.loss_values[i]), batch);
    for (int i = 0; i < n->n_outputs; i++) {
        const cnn_tensor *y = cnn_plan_output(plan, i),
                         *want = ref.values[cnn_graph_find(&ref.graph, n->outputs[i])];
        assert_true(cnn_same_shape(y, want));
        expect_close(n, "an output", batch, cnn_f32(y), cnn_f32(want), want->size);
    }
    int trainable = 0;
    for (int i = 0; i < ref.graph.count; i++) trainable += ref.graph.tensors[i]->trainable;
    assert_int_equal(cnn_plan_variable_count(plan), trainable);
    for (int i = 0; i < trainable; i++) {
        const cnn_tensor *v = cnn_plan_variable(plan, i), *want = ref.grads[cnn_graph_find(&ref.graph, v)];
        char what[32];
        snprintf(what, sizeof what, "gradient %d", i);
        assert_non_null(want);
        expect_close(n, what, batch, cnn_plan_gradient(plan, i), cnn_f32(want), v->size);
    }
    cnn_plan_free(plan);
    close_reference(&ref);
    free_data(&d);
}

static void plans_agree_with_ops_run_one_by_one(void **state) {
    (void)state;
    for_each_case(check_against_reference);
}

/* ---- against finite differences ---------------------------------------------------------------------------- */

static double total_loss(cnn_plan *plan, const net *n, const net_data *d, int64_t batch) {
    double total = 0;
    OK(run_plan(plan, n, d, true));
    for (int i = 0; i < n->n_losses; i++)
        for (int64_t k = 0; k < batch; k++)
            total += (double)cnn_plan_loss_values(plan, i)[k] * (double)cnn_f32(d->seeds[i])[k];
    return total;
}

static void check_differences(const net *n, int64_t batch) {
    const double nudge = 1.0 / 128;
    net_data d;
    make_data(&d, n, batch);
    cnn_plan *plan = NULL, *forward = NULL;
    OK(make_plan(&plan, n, &d, batch, true, true));
    OK(make_plan(&forward, n, &d, batch, true, false));
    OK(run_plan(plan, n, &d, true));
    for (int i = 0; i < cnn_plan_variable_count(plan); i++) {
        cnn_tensor *v = cnn_plan_variable(plan, i);
        const float *gradient = cnn_plan_gradient(plan, i);
        double most = 0;
        for (int64_t k = 0; k < v->size; k++)
            if (fabs((double)gradient[k]) > most) most = fabs((double)gradient[k]);
        for (int64_t k = 0; k < v->size; k += 1 + v->size / 11) {
            float was = cnn_f32(v)[k];
            cnn_f32(v)[k] = was + (float)nudge;
            double up = total_loss(forward, n, &d, batch);
            cnn_f32(v)[k] = was - (float)nudge;
            double down = total_loss(forward, n, &d, batch);
            cnn_f32(v)[k] = was;
            double slope = (up - down) / (2 * nudge);
            if (!(fabs(slope - (double)gradient[k]) <= 0.02 * most + 1e-3))
                fail_msg("%s, batch %d: gradient %d[%d] is %g, the slope %g", name_of(n), (int)batch, i,
                         (int)k, (double)gradient[k], slope);
        }
    }
    cnn_plan_free(plan);
    cnn_plan_free(forward);
    free_data(&d);
}

static void gradients_are_the_slopes_of_the_loss(void **state) {
    (void)state;
    for (int i = 0; i < CASE_COUNT; i++) {
        if (!cases[i].smooth) continue;
        net n = {0};
        cnn_set_seed(3);
        cases[i].build(&n);
        check_differences(&n, 1);
        check_differences(&n, 5);
        net_close(&n);
    }
}

/* ---- threads and stale memory ------------------------------------------------------------------------------ */

/* Everything a run gives, in one block. */
static float *results(const cnn_plan *plan, const net *n, int64_t batch, size_t *bytes) {
    size_t floats = plan->gradient_floats;
    for (int i = 0; i < n->n_outputs; i++) floats += (size_t)cnn_plan_output(plan, i)->size;
    floats += (size_t)(n->n_losses * batch);
    float *all = malloc(floats * sizeof *all + 1), *to = all;
    for (int i = 0; i < plan->n_variables; i++) {
        memcpy(to, cnn_plan_gradient(plan, i), cnn_tensor_bytes(plan->variables[i].tensor));
        to += plan->variables[i].tensor->size;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        memcpy(to, cnn_plan_output(plan, i)->data, cnn_tensor_bytes(cnn_plan_output(plan, i)));
        to += cnn_plan_output(plan, i)->size;
    }
    for (int i = 0; i < n->n_losses; i++, to += batch)
        memcpy(to, cnn_plan_loss_values(plan, i), (size_t)batch * sizeof *to);
    *bytes = (size_t)(to - all) * sizeof *all;
    return all;
}

static bool has_nan(const float *values, size_t bytes) {
    for (size_t i = 0; i < bytes / sizeof *values; i++)
        if (isnan(values[i])) return true;
    return false;
}

static void check_threads_and_poison(const net *n, int64_t batch) {
    static const int threads[] = {1, 2, 3, 7};
    int before = cnn_threads();
    net_data d;
    make_data(&d, n, batch);
    for (int gradients = 0; gradients < 2; gradients++) {
        cnn_plan *plan = NULL;
        float *first = NULL;
        size_t bytes = 0;
        cnn_set_threads(1);
        OK(make_plan(&plan, n, &d, batch, gradients, gradients));
        for (int i = 0; i < (batch % 32 == 1 ? 4 : 2); i++) { /* more threads than cores are slow */
            cnn_set_threads(threads[i]);
            poison(plan);
            OK(run_plan(plan, n, &d, true));
            float *got = results(plan, n, batch, &bytes);
            if (has_nan(got, bytes))
                fail_msg("%s, batch %d: reads what it has not written", name_of(n), (int)batch);
            if (first && memcmp(first, got, bytes) != 0)
                fail_msg("%s, batch %d: other results on %d threads", name_of(n), (int)batch, threads[i]);
            if (first)
                free(got);
            else
                first = got;
        }
        free(first);
        cnn_plan_free(plan);
    }
    cnn_set_threads(before);
    free_data(&d);
}

static void results_depend_neither_on_threads_nor_on_old_memory(void **state) {
    (void)state;
    for_each_case(check_threads_and_poison);
}

/* ---- training and inference --------------------------------------------------------------------------------- */

static void dropout_only_drops_in_training(void **state) {
    (void)state;
    net n = {0};
    dropped(&n);
    net_data d;
    make_data(&d, &n, 5);
    reference ref;
    open_reference(&ref, &n, &d, false);
    cnn_plan *plan = NULL;
    OK(make_plan(&plan, &n, &d, 5, false, false));
    OK(run_plan(plan, &n, &d, true));
    expect_close(&n, "output", 5, cnn_f32(cnn_plan_output(plan, 0)),
                 cnn_f32(ref.values[cnn_graph_find(&ref.graph, n.outputs[0])]), 10);
    cnn_plan_free(plan);
    close_reference(&ref);
    free_data(&d);
    net_close(&n);
}

static void changed_weights_count_when_told(void **state) {
    (void)state;
    net n = {0};
    computed_weights(&n);
    net_data d;
    make_data(&d, &n, 3);
    cnn_plan *plan = NULL;
    OK(make_plan(&plan, &n, &d, 3, false, false));
    OK(run_plan(plan, &n, &d, true));
    for (int i = 0; i < n.made_count; i++)
        if (n.made[i]->trainable) fill_random(n.made[i], 900 + (uint32_t)i);
    OK(run_plan(plan, &n, &d, true));
    reference ref;
    open_reference(&ref, &n, &d, false);
    expect_close(&n, "output", 3, cnn_f32(cnn_plan_output(plan, 0)),
                 cnn_f32(ref.values[cnn_graph_find(&ref.graph, n.outputs[0])]), 9);
    cnn_plan_free(plan);
    close_reference(&ref);
    free_data(&d);
    net_close(&n);
}

/* ---- fusion -------------------------------------------------------------------------------------------------- */

static const step *first_conv(const cnn_plan *plan, int *count) {
    const step *found = NULL;
    *count = 0;
    for (int i = 0; i < plan->n_steps; i++) {
        if (plan->steps[i].op != &cnn_op_conv2d) continue;
        if (!found) found = &plan->steps[i];
        ++*count;
    }
    return found;
}

static int plan_steps(void (*build)(net *n), bool *relu, bool *pool) {
    net n = {0};
    build(&n);
    net_data d;
    make_data(&d, &n, 2);
    cnn_plan *plan = NULL;
    int convs, steps;
    OK(make_plan(&plan, &n, &d, 2, true, true));
    const cnn_conv2d *conv = first_conv(plan, &convs)->attributes;
    *relu = conv->relu;
    *pool = conv->pool[0] > 1;
    steps = plan->n_steps;
    cnn_plan_free(plan);
    free_data(&d);
    net_close(&n);
    return steps;
}

static void convolution_relu_and_pooling_are_one_step_unless_read_between(void **state) {
    (void)state;
    bool relu, pool;
    assert_int_equal(plan_steps(fused, &relu, &pool), 3); /* with dense and the loss */
    assert_true(relu && pool);
    assert_int_equal(plan_steps(unfused, &relu, &pool), 5);
    assert_true(!relu && !pool);
    plan_steps(pooled_without_relu, &relu, &pool);
    assert_true(!relu && pool);
}

static cnn_tensor *normalized(net *n, cnn_tensor *x) {
    int64_t channels = x->shape[x->rank - 1], one = 1;
    cnn_tensor *list[6] = {x}, *frozen = NULL;
    for (int i = 1; i < 5; i++) list[i] = weights(n, false, i == 4 ? .2 : .7, SHAPE(channels));
    for (int64_t c = 0; c < channels; c++) cnn_f32(list[4])[c] += 0.5f; /* the variance */
    OK(cnn_tensor_new(&frozen, CNN_INT32, 1, &one));
    list[5] = keep(n, frozen);
    return apply_list(n, "batch_normalization", NULL, list, 6);
}

/* Each kind of convolution, with and without a bias, relu and pooling; the last normalization has a reader more. */
static void all_kinds_normalized(net *n) {
    const char *same = "{\"padding\": \"same\"}";
    cnn_tensor *x = input(n, SHAPE(12, 9, 5)), *row = input(n, SHAPE(17, 5));
    cnn_tensor *w = weights(n, true, .4, SHAPE(3, 3, 5, 20)), *b = weights(n, true, .5, SHAPE(20));
    cnn_tensor *y = op1(n, "relu", NULL, normalized(n, op3(n, "conv2d", same, x, w, b)));
    y = op1(n, "max_pool2d", NULL, y);
    y = normalized(n, op2(n, "depthwise_conv2d", same, y, weights(n, true, .6, SHAPE(3, 3, 20, 1))));
    y = op2(n, "conv2d", NULL, op1(n, "relu", NULL, y), weights(n, true, .3, SHAPE(1, 1, 20, 6)));
    y = op1(n, "relu", NULL, normalized(n, y));
    y = op3(n, "conv2d_transpose", "{\"strides\": 2}", y, weights(n, true, .3, SHAPE(3, 3, 2, 6)),
            weights(n, true, .4, SHAPE(2)));
    output(n, op1(n, "relu", NULL, y), NULL);
    cnn_tensor *z =
        op3(n, "conv1d", NULL, row, weights(n, true, .3, SHAPE(3, 5, 18)), weights(n, true, .3, SHAPE(18)));
    output(n, op1(n, "relu", NULL, normalized(n, z)), NULL);
    output(n, normalized(n, op2(n, "conv2d", NULL, x, weights(n, true, .4, SHAPE(2, 2, 5, 7)))), NULL);
    output(n, normalized(n, n->outputs[2]), NULL);
}

static void inference_folds_normalization_and_relu_into_every_convolution(void **state) {
    static const char *const cpus[] = {"sse2", "avx2", "avx512", "generic"};
    const char *before = cnn_cpu();
    (void)state;
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        if (cnn_set_cpu(cpus[i]) != CNN_OK) continue;
        net n = {0};
        all_kinds_normalized(&n);
        net_data d;
        make_data(&d, &n, 3);
        reference ref;
        open_reference(&ref, &n, &d, false);
        cnn_plan *plan = NULL;
        OK(make_plan(&plan, &n, &d, 3, false, false));
        assert_int_equal(plan->n_steps, 7); /* six convolutions, and the normalization of a wanted value */
        OK(run_plan(plan, &n, &d, true));
        for (int o = 0; o < n.n_outputs; o++) {
            const cnn_tensor *y = cnn_plan_output(plan, o);
            expect_close(&n, "output", 3, cnn_f32(y),
                         cnn_f32(ref.values[cnn_graph_find(&ref.graph, n.outputs[o])]), y->size);
        }
        cnn_plan_free(plan);
        close_reference(&ref);
        free_data(&d);
        net_close(&n);
    }
    OK(cnn_set_cpu(before));
}

/* ---- allocation ------------------------------------------------------------------------------------------------ */

static bool count_allocations(size_t size, void *data) {
    (void)size;
    ++*(int *)data;
    return false;
}

static void check_silence(const net *n, int64_t batch) {
    net_data d;
    make_data(&d, n, batch);
    cnn_plan *plan = NULL;
    OK(make_plan(&plan, n, &d, batch, true, true));
    int count = 0;
    cnn_set_alloc_hook(count_allocations, &count);
    OK(run_plan(plan, n, &d, true));
    OK(run_plan(plan, n, &d, false));
    cnn_set_alloc_hook(NULL, NULL);
    if (count > 0) fail_msg("%s, batch %d: %d allocations in a run", name_of(n), (int)batch, count);
    cnn_plan_free(plan);
    free_data(&d);
}

static void runs_allocate_nothing(void **state) {
    (void)state;
    for_each_case(check_silence);
}

/* ---- the arena -------------------------------------------------------------------------------------------------- */

static size_t lower_bound(const span *spans, int count, int moments) {
    size_t most = 0;
    for (int t = 0; t < moments; t++) {
        size_t live = 0;
        for (int i = 0; i < count; i++)
            if (spans[i].first <= t && t <= spans[i].last) live += CNN_ROUND_UP(spans[i].bytes, CNN_ALIGN);
        if (live > most) most = live;
    }
    return most;
}

static void expect_apart(const span *spans, int count, size_t total) {
    for (int i = 0; i < count; i++) {
        assert_int_equal(spans[i].offset % CNN_ALIGN, 0);
        assert_true(spans[i].offset + spans[i].bytes <= total);
        for (int j = 0; j < i; j++) {
            bool together = spans[i].first <= spans[j].last && spans[j].first <= spans[i].last;
            bool apart = spans[i].offset + spans[i].bytes <= spans[j].offset ||
                         spans[j].offset + spans[j].bytes <= spans[i].offset;
            assert_true(!together || apart);
        }
    }
}

static void spans_that_live_together_lie_apart(void **state) {
    (void)state;
    enum { MOST = 120, MOMENTS = 50 };
    static span spans[MOST];
    uint32_t random = 5;
    double worst = 0;
    for (int round = 0; round < 400; round++) {
        int count = (int)(net_draw(&random) % MOST);
        for (int i = 0; i < count; i++) {
            int first = (int)(net_draw(&random) % MOMENTS);
            int length = (int)(net_draw(&random) % (round % 2 ? 5 : MOMENTS));
            spans[i] =
                (span){.bytes = net_draw(&random) % 3 ? net_draw(&random) % 100000 : net_draw(&random) % 200,
                       .first = first,
                       .last = first + length < MOMENTS ? first + length : MOMENTS - 1};
        }
        size_t bound = lower_bound(spans, count, MOMENTS), total = cnn_arena_plan(spans, count);
        expect_apart(spans, count, total);
        if (bound > 0) worst = fmax(worst, (double)total / (double)bound);
    }
    if (worst > 1.6) fail_msg("the arena is %.2f times as large as what lives at once", worst);
}

/* ---- graphs that are deep or wrong -------------------------------------------------------------------------------- */

static cnn_tensor *chain_of(cnn_tensor *x, int length) {
    float one = 1;
    cnn_tensor *number = NULL;
    OK(cnn_tensor_from(&number, CNN_FLOAT32, 0, NULL, &one));
    cnn_tensor *y = cnn_tensor_retain(x);
    for (int i = 0; i < length; i++) {
        cnn_tensor *next = NULL;
        OK(cnn_apply(&next, "add", NULL, (cnn_tensor *[]){y, number}, 2));
        cnn_tensor_release(y);
        y = next;
    }
    cnn_tensor_release(number);
    return y;
}

static void graphs_may_be_deep(void **state) {
    (void)state;
    enum { DEPTH = 10000, DEEPER = 200000 };
    size_t before = cnn_memory_used();
    net n = {0};
    cnn_tensor *x = input(&n, SHAPE(2));
    cnn_tensor_release(chain_of(x, DEEPER));
    output(&n, keep(&n, chain_of(x, DEPTH)), NULL);
    net_data d;
    make_data(&d, &n, 3);
    cnn_plan *plan = NULL;
    OK(make_plan(&plan, &n, &d, 3, false, false));
    OK(run_plan(plan, &n, &d, true));
    for (int i = 0; i < 6; i++) {
        float want = cnn_f32(d.inputs[0])[i];
        for (int k = 0; k < DEPTH; k++) want += 1;
        assert_true(cnn_f32(cnn_plan_output(plan, 0))[i] == want);
    }
    assert_true(plan->whole_bytes < 10 * CNN_ALIGN); /* all steps share the room of a few */
    cnn_plan_free(plan);
    free_data(&d);
    net_close(&n);
    assert_int_equal(cnn_memory_used(), before);
}

static void expect_no_plan(net *n, int64_t batch, cnn_status status, const char *text) {
    net_data d;
    make_data(&d, n, batch > 0 ? batch : 1);
    cnn_plan *plan = (cnn_plan *)n;
    size_t before = cnn_memory_used();
    assert_fails(make_plan(&plan, n, &d, batch, true, true), status, text);
    assert_ptr_equal(plan, n);
    assert_int_equal(cnn_memory_used(), before);
    free_data(&d);
    net_close(n);
}

static void wrong_graphs_are_refused(void **state) {
    (void)state;
    net empty_batch = {0};
    classifier(&empty_batch);
    expect_no_plan(&empty_batch, 0, CNN_ERROR_ARGUMENT, "batch");

    net unconnected = {0};
    cnn_tensor *x = input(&unconnected, SHAPE(2)), *y = input(&unconnected, SHAPE(2));
    output(&unconnected, op2(&unconnected, "add", NULL, x, y), "mse");
    unconnected.n_inputs = 1;
    expect_no_plan(&unconnected, 2, CNN_ERROR_STATE, "not among its inputs");

    net rows = {0};
    x = input(&rows, SHAPE(3, 2));
    output(&rows, op1(&rows, "reshape", "{\"target_shape\": [-1, 2], \"keep_batch\": false}", x), NULL);
    expect_no_plan(&rows, 4, CNN_ERROR_SHAPE, "12 rows for a batch of 4");

    net huge = {0};
    output(&huge, op1(&huge, "tanh", NULL, input(&huge, SHAPE(1 << 10, 1 << 10, 1 << 10))), NULL);
    huge.n_outputs = 1;
    cnn_plan *plan = NULL;
    cnn_plan_options o = {
        .batch = 1 << 20, .inputs = huge.inputs, .n_inputs = 1, .outputs = huge.outputs, .n_outputs = 1};
    assert_fails(cnn_plan_new(&plan, &o), CNN_ERROR_SHAPE, "too big");
    net_close(&huge);
}

static void ops_refuse_weights_that_depend_on_the_batch(void **state) {
    (void)state;
    net n = {0};
    cnn_tensor *x = input(&n, SHAPE(6, 6, 3)), *w = input(&n, SHAPE(3, 3, 4)), *y = NULL;
    assert_fails(cnn_apply(&y, "conv2d", NULL, (cnn_tensor *[]){x, w}, 2), CNN_ERROR_SHAPE, "input 2");
    cnn_tensor *many[CNN_MAX_INPUTS + 1];
    for (int i = 0; i <= CNN_MAX_INPUTS; i++) many[i] = x;
    assert_fails(cnn_apply(&y, "concatenate", NULL, many, CNN_MAX_INPUTS + 1), CNN_ERROR_ARGUMENT, "65");
    assert_fails(cnn_apply(&y, "concatenate", NULL, many, 0), CNN_ERROR_ARGUMENT, "got 0");
    cnn_tensor *big = NULL;
    assert_fails(cnn_input(&big, SHAPE(1 << 20, 1 << 20, 1 << 20), CNN_FLOAT32, NULL), CNN_ERROR_SHAPE,
                 "too big");
    assert_fails(cnn_input(&big, SHAPE(0), CNN_FLOAT32, NULL), CNN_ERROR_ARGUMENT, "shape");
    net_close(&n);
}

static void labels_out_of_range_leave_the_plan_usable(void **state) {
    (void)state;
    net n = {0};
    classifier(&n);
    net_data d;
    make_data(&d, &n, 33);
    cnn_plan *plan = NULL;
    OK(make_plan(&plan, &n, &d, 33, true, true));
    OK(run_plan(plan, &n, &d, true));
    size_t bytes;
    float *before = results(plan, &n, 33, &bytes);
    cnn_i32(d.labels[0])[20] = 5;
    assert_fails(run_plan(plan, &n, &d, false), CNN_ERROR_ARGUMENT, "label 5 at sample 20");
    cnn_i32(d.labels[0])[20] = (20 * 7 + 3) % 5;
    OK(run_plan(plan, &n, &d, false));
    float *after = results(plan, &n, 33, &bytes);
    assert_memory_equal(before, after, bytes);
    free(before);
    free(after);
    cnn_plan_free(plan);
    free_data(&d);
    net_close(&n);
}

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

static void lanes_cover_the_batch_and_grow_with_it(void **state) {
    (void)state;
    for (int64_t batch = 0; batch < 300; batch++)
        for (size_t bytes = 0; bytes < (size_t)1 << 28; bytes = bytes ? 16 * bytes : 4) {
            int lanes = cnn_lane_count(batch, bytes);
            assert_true(lanes >= 1 && lanes <= CNN_MAX_LANES && (lanes <= batch || batch == 0));
            int64_t end = 0;
            for (int i = 0; i < lanes; i++) {
                int64_t from, to;
                cnn_lane_range(batch, lanes, i, &from, &to);
                assert_int_equal(from, end);
                assert_true(to > from || batch == 0);
                end = to;
            }
            assert_int_equal(end, batch);
        }
    assert_int_equal(cnn_lane_count(2, 4),
                     2); /* little or nothing to sum: large pictures go to several threads */
    assert_int_equal(cnn_lane_count(2, (size_t)1 << 20), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_agree_with_ops_run_one_by_one),
        cmocka_unit_test(gradients_are_the_slopes_of_the_loss),
        cmocka_unit_test(results_depend_neither_on_threads_nor_on_old_memory),
        cmocka_unit_test(dropout_only_drops_in_training),
        cmocka_unit_test(changed_weights_count_when_told),
        cmocka_unit_test(inference_folds_normalization_and_relu_into_every_convolution),
        cmocka_unit_test(convolution_relu_and_pooling_are_one_step_unless_read_between),
        cmocka_unit_test(runs_allocate_nothing),
        cmocka_unit_test(spans_that_live_together_lie_apart),
        cmocka_unit_test(graphs_may_be_deep),
        cmocka_unit_test(wrong_graphs_are_refused),
        cmocka_unit_test(ops_refuse_weights_that_depend_on_the_batch),
        cmocka_unit_test(labels_out_of_range_leave_the_plan_usable),
        cmocka_unit_test(lanes_cover_the_batch_and_grow_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
