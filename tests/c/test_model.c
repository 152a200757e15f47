/* Models as graphs of layers: wiring, sharing, nesting, what summary and the counts say, models called anew; training that
 * allocates nothing; and every kind of misuse. */
#include "net.h"

#include "base/parallel.h"
#include "ops/conv.h"

static void no_leak_since(size_t before) {
    assert_int_equal(cnn_memory_used(), before);
}

static cnn_model *sequential(const char *const layers[][2]) {
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, NULL));
    for (int i = 0; layers[i][0]; i++) OK(cnn_model_add_new(model, layers[i][0], layers[i][1]));
    return model;
}

static cnn_model *small_classifier(void) {
    static const char *const layers[][2] = {
        {"Conv2D",
         "{\"filters\": 4, \"kernel_size\": 3, \"activation\": \"relu\", \"input_shape\": [8, 8, 1]}"},
        {"MaxPooling2D", NULL},
        {"Dropout", "{\"rate\": 0.25, \"seed\": 3}"},
        {"Flatten", NULL},
        {"Dense", "{\"units\": 3, \"activation\": \"softmax\"}"},
        {NULL, NULL}};
    return sequential(layers);
}

static cnn_model *functional(net *n) {
    cnn_model *model = NULL;
    OK(cnn_functional_new(&model, NULL, n->inputs, n->n_inputs, n->outputs, n->n_outputs));
    return model;
}

static cnn_tensor *random_tensor(int rank, const int64_t *shape) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_FLOAT32, rank, shape));
    fill_random(t, 17);
    return t;
}

static cnn_tensor *labels(int64_t count, int classes) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_INT32, 1, &count));
    for (int64_t i = 0; i < count; i++) cnn_i32(t)[i] = (int32_t)(i % classes);
    return t;
}

static cnn_tensor *predict(cnn_model *model, cnn_tensor *x, int batch_size) {
    cnn_tensor *y = NULL;
    OK(cnn_model_predict(&y, model, &(cnn_fit_options){.x = x, .batch_size = batch_size}));
    return y;
}

static void expect_equal(cnn_tensor *a, cnn_tensor *b) {
    bool close = false;
    OK(cnn_allclose(&close, a, b, 1e-5, 1e-6));
    assert_true(close);
}

/* ---- wiring ------------------------------------------------------------------------------------------------ */

/* Two branches that ops join, not layers. */
static void joined_by_ops(net *n) {
    cnn_tensor *x = input(n, SHAPE(6));
    cnn_tensor *a = layer(n, "Dense", "{\"units\": 4, \"name\": \"left\"}", x);
    cnn_tensor *b = layer(n, "Dense", "{\"units\": 4, \"name\": \"right\", \"activation\": \"tanh\"}", x);
    cnn_tensor *sum = op2(n, "add", NULL, op2(n, "multiply", NULL, a, b), a);
    output(n, layer(n, "Dense", "{\"units\": 2, \"name\": \"last\"}", sum), NULL);
}

static void layers_behind_ops_belong_to_the_model(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    net n = {0};
    joined_by_ops(&n);
    cnn_model *model = functional(&n);
    assert_int_equal(cnn_model_layer_count(model), 4);
    assert_int_equal(cnn_model_count_params(model), 28 + 28 + 10);
    cnn_layer *found = NULL;
    OK(cnn_model_get_layer(&found, model, "right"));
    char *text = NULL;
    OK(cnn_model_summary(&text, model, 0, false));
    assert_non_null(strstr(text, "left (Dense)"));
    assert_non_null(strstr(text, "right (Dense)"));
    assert_non_null(strstr(text, "add[0][0]"));
    free(text);
    cnn_model_release(model);
    net_close(&n);
    no_leak_since(before);
}

static void a_model_called_gives_what_it_predicts(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    net n = {0};
    joined_by_ops(&n);
    cnn_model *model = functional(&n);
    cnn_tensor *x = random_tensor(SHAPE(7, 6)), *y = predict(model, x, 3), *eager = NULL;
    OK(cnn_layer_call(&eager, cnn_model_as_layer(model), &x, 1, false));
    expect_equal(eager, y);
    net outer = {0};
    cnn_tensor *again = call_layer(&outer, cnn_model_as_layer(model), input(&outer, SHAPE(6)));
    output(&outer, op2(&outer, "add", NULL, again, again), NULL);
    cnn_model *nested = functional(&outer);
    assert_int_equal(cnn_model_count_params(nested), cnn_model_count_params(model));
    cnn_tensor *twice = predict(nested, x, 4), *sum = NULL;
    OK(cnn_binary(&sum, CNN_ADD, y, y));
    expect_equal(twice, sum);
    cnn_tensor *made[] = {x, y, eager, twice, sum};
    for (int i = 0; i < 5; i++) cnn_tensor_release(made[i]);
    cnn_model_release(nested);
    cnn_model_release(model);
    net_close(&outer);
    net_close(&n);
    no_leak_since(before);
}

/* A layer that gives back its input must not become its own source. */
static void layers_that_change_nothing_make_no_cycle(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    net n = {0};
    cnn_tensor *x = op1(&n, "relu", NULL, input(&n, SHAPE(5)));
    cnn_tensor *same = layer(&n, "Activation", "{\"activation\": \"linear\"}", x);
    assert_ptr_not_equal(same, x);
    assert_null(cnn_call_of(x));
    output(&n, same, NULL);
    cnn_model *model = functional(&n);
    assert_int_equal(cnn_model_layer_count(model), 2);
    cnn_tensor *data = random_tensor(SHAPE(3, 5)), *y = predict(model, data, 2), *want = NULL;
    OK(cnn_unary(&want, CNN_RELU, data));
    expect_equal(y, want);
    cnn_tensor_release(data);
    cnn_tensor_release(y);
    cnn_tensor_release(want);
    cnn_model_release(model);
    net_close(&n);
    no_leak_since(before);
}

static void a_model_may_begin_amid_another(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    net n = {0};
    cnn_tensor *x = input(&n, SHAPE(6)), *middle = layer(&n, "Dense", "{\"units\": 4}", x);
    output(&n, layer(&n, "Dense", "{\"units\": 2}", middle), NULL);
    n.inputs[0] = middle;
    cnn_model *top = functional(&n);
    assert_int_equal(cnn_model_layer_count(top), 1);
    assert_int_equal(cnn_model_count_params(top), 10);
    cnn_tensor *data = random_tensor(SHAPE(3, 4)), *y = predict(top, data, 0);
    assert_int_equal(y->shape[1], 2);
    cnn_tensor_release(data);
    cnn_tensor_release(y);
    cnn_model_release(top);
    net_close(&n);
    no_leak_since(before);
}

static void popped_layers_leave_the_rest_as_it_was(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    cnn_model *model = small_classifier();
    cnn_tensor *x = random_tensor(SHAPE(5, 8, 8, 1)), *all = predict(model, x, 0);
    cnn_layer *last = cnn_layer_retain(cnn_model_layer(model, 4));
    OK(cnn_model_pop(model));
    assert_int_equal(cnn_model_count_params(model), 40);
    cnn_tensor *flat = predict(model, x, 0);
    assert_int_equal(flat->shape[1], 36);
    OK(cnn_model_add(model, last));
    assert_int_equal(cnn_model_count_params(model), 40 + 111);
    cnn_tensor *again = predict(model, x, 0);
    expect_equal(all, again);
    for (int i = 0; i < 5; i++) OK(cnn_model_pop(model));
    assert_fails(cnn_model_pop(model), CNN_ERROR_STATE, "no layer");
    cnn_tensor *same = predict(model, x, 2);
    expect_equal(same, x);
    cnn_tensor *made[] = {x, all, flat, again, same};
    for (int i = 0; i < 5; i++) cnn_tensor_release(made[i]);
    cnn_layer_release(last);
    cnn_model_release(model);
    no_leak_since(before);
}

static void models_may_have_thousands_of_layers(void **state) {
    (void)state;
    enum { DEPTH = 3000 };
    size_t before = cnn_memory_used();
    net n = {0};
    cnn_tensor *x = input(&n, SHAPE(4)), *y = cnn_tensor_retain(x);
    for (int i = 0; i < DEPTH; i++) {
        cnn_layer *made = NULL;
        cnn_tensor *next = NULL;
        OK(cnn_layer_new(&made, "Flatten", NULL));
        OK(cnn_layer_call(&next, made, &y, 1, false));
        cnn_layer_release(made);
        cnn_tensor_release(y);
        y = next;
    }
    output(&n, keep(&n, y), NULL);
    cnn_model *model = functional(&n);
    assert_int_equal(cnn_model_layer_count(model), DEPTH + 1);
    cnn_tensor *data = random_tensor(SHAPE(3, 4)), *result = predict(model, data, 0);
    expect_equal(result, data);
    char *text = NULL;
    OK(cnn_model_summary(&text, model, 0, false));
    free(text);
    cnn_tensor_release(data);
    cnn_tensor_release(result);
    cnn_model_release(model);
    net_close(&n);
    no_leak_since(before);
}

/* ---- misuse ------------------------------------------------------------------------------------------------- */

static cnn_status try_functional(net *n) {
    cnn_model *model = NULL;
    size_t before = cnn_memory_used();
    cnn_status status = cnn_functional_new(&model, NULL, n->inputs, n->n_inputs, n->outputs, n->n_outputs);
    assert_null(model);
    no_leak_since(before);
    return status;
}

static void wrong_wirings_are_refused(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    net n = {0};
    cnn_tensor *x = input(&n, SHAPE(4)), *other = input(&n, SHAPE(4));
    cnn_tensor *a = layer(&n, "Dense", "{\"units\": 4, \"name\": \"twin\"}", x);
    cnn_tensor *b = layer(&n, "Dense", "{\"units\": 4, \"name\": \"twin\"}", a);
    output(&n, b, NULL);
    assert_fails(try_functional(&n), CNN_ERROR_ARGUMENT, "two layers are named 'twin'");
    n.outputs[0] = op2(&n, "add", NULL, a, other);
    n.n_inputs = 1;
    assert_fails(try_functional(&n), CNN_ERROR_STATE, "not among its inputs");
    n.outputs[0] = op1(&n, "mean", NULL, a);
    assert_fails(try_functional(&n), CNN_ERROR_SHAPE, "first axis");
    n.outputs[0] = weights(&n, false, 1, SHAPE(3));
    assert_fails(try_functional(&n), CNN_ERROR_ARGUMENT, "symbolic");
    cnn_model *model = NULL;
    cnn_tensor *many[CNN_MAX_INPUTS + 1];
    for (int i = 0; i <= CNN_MAX_INPUTS; i++) many[i] = x;
    assert_fails(cnn_functional_new(&model, NULL, many, CNN_MAX_INPUTS + 1, &a, 1), CNN_ERROR_ARGUMENT, "65");
    assert_fails(cnn_functional_new(&model, NULL, many, 0, &a, 1), CNN_ERROR_ARGUMENT, "got 0");
    assert_fails(cnn_functional_new(&model, NULL, &x, 1, &a, 0), CNN_ERROR_ARGUMENT, "outputs");
    net_close(&n);
    no_leak_since(before);
}

static void no_model_is_a_layer_of_itself(void **state) {
    (void)state;
    cnn_model *inner = NULL, *outer = NULL;
    OK(cnn_sequential_new(&inner, "inner"));
    OK(cnn_sequential_new(&outer, "outer"));
    assert_fails(cnn_model_add(inner, cnn_model_as_layer(inner)), CNN_ERROR_ARGUMENT, "a layer of itself");
    OK(cnn_model_add(outer, cnn_model_as_layer(inner)));
    assert_fails(cnn_model_add(inner, cnn_model_as_layer(outer)), CNN_ERROR_ARGUMENT, "a layer of itself");
    cnn_model_release(inner);
    cnn_model_release(outer);
}

static void models_without_layers_say_so(void **state) {
    (void)state;
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, NULL));
    char *text = NULL;
    cnn_tensor *x = random_tensor(SHAPE(3, 4)), *y = NULL, *none = NULL;
    assert_fails(cnn_model_summary(&text, model, 0, false), CNN_ERROR_STATE, "input");
    assert_fails(cnn_model_build(model, SHAPE(-1, 4)), CNN_ERROR_STATE, "no layers");
    assert_fails(cnn_model_predict(&y, model, &(cnn_fit_options){.x = x}), CNN_ERROR_STATE, "no layers");
    OK(cnn_tensor_new(&none, CNN_FLOAT32, SHAPE(0, 4)));
    assert_fails(cnn_model_predict(&y, model, &(cnn_fit_options){.x = none}), CNN_ERROR_SHAPE, "no samples");
    assert_null(cnn_model_layer(model, 0));
    assert_null(cnn_model_layer(model, -1));
    cnn_tensor_release(none);
    cnn_tensor_release(x);
    cnn_model_release(model);
}

static void data_of_other_shapes_is_refused(void **state) {
    (void)state;
    cnn_model *model = small_classifier();
    OK(cnn_model_compile(model,
                         "{\"loss\": \"sparse_categorical_crossentropy\", \"metrics\": [\"accuracy\"]}"));
    cnn_tensor *x = random_tensor(SHAPE(6, 8, 8, 1)), *wrong = random_tensor(SHAPE(6, 8, 7, 1)),
               *y = labels(6, 3), *few = labels(5, 3), *wide = random_tensor(SHAPE(6, 4)),
               *bad = labels(6, 9);
    double values[2];
    assert_fails(cnn_model_evaluate(model, &(cnn_fit_options){.x = wrong, .y = y}, values, 2),
                 CNN_ERROR_SHAPE, "(None, 8, 8, 1)");
    assert_fails(cnn_model_evaluate(model, &(cnn_fit_options){.x = x, .y = few}, values, 2), CNN_ERROR_SHAPE,
                 "5");
    assert_fails(cnn_model_evaluate(model, &(cnn_fit_options){.x = x, .y = wide}, values, 2), CNN_ERROR_SHAPE,
                 "(6, 4)");
    assert_fails(cnn_model_evaluate(model, &(cnn_fit_options){.x = x, .y = bad}, values, 2),
                 CNN_ERROR_ARGUMENT, "label 3");
    OK(cnn_model_evaluate(model, &(cnn_fit_options){.x = x, .y = y}, values, 2));
    cnn_tensor *made[] = {x, wrong, y, few, wide, bad};
    for (int i = 0; i < 6; i++) cnn_tensor_release(made[i]);
    cnn_model_release(model);
}

static void convolutions_too_large_for_their_kernels_are_refused(void **state) {
    (void)state;
    net n = {0};
    const int64_t wide = INT64_C(1) << 32;
    cnn_tensor *x = NULL, *y = NULL, *w = weights(&n, false, 1, SHAPE(2, 2, 1, 1));
    OK(cnn_symbolic_input(&x, 3, I64(4, wide + 3, 1), CNN_FLOAT32));
    keep(&n, x);
    assert_fails(cnn_apply(&y, "conv2d", NULL, (cnn_tensor *[]){x, w}, 2), CNN_ERROR_SHAPE, "conv2d");
    cnn_tensor *picture = random_tensor(SHAPE(2, 6, 6, 1));
    assert_fails(cnn_apply(&y, "conv2d", "{\"dilation_rate\": 2147483647}", (cnn_tensor *[]){picture, w}, 2),
                 CNN_ERROR_SHAPE, "does not fit");
    assert_fails(cnn_apply(&y, "conv2d", "{\"pool\": 6}", (cnn_tensor *[]){picture, w}, 2), CNN_ERROR_SHAPE,
                 "conv2d");
    cnn_tensor_release(picture);
    net_close(&n);
}

/* ---- empty batches -------------------------------------------------------------------------------------------- */

static void no_samples_in_no_samples_out(void **state) {
    (void)state;
    static const char *const kinds[][2] = {
        {"Conv2D", "{\"filters\": 3, \"kernel_size\": 2, \"activation\": \"relu\"}"},
        {"MaxPooling2D", NULL},
        {"AveragePooling2D", NULL},
        {"GlobalMaxPooling2D", NULL},
        {"GlobalAveragePooling2D", NULL},
        {"Flatten", NULL},
        {"Dense", "{\"units\": 3, \"activation\": \"softmax\"}"},
        {"Dropout", "{\"rate\": 0.5}"},
        {"ZeroPadding2D", NULL},
        {"Rescaling", "{\"scale\": 2}"}};
    cnn_tensor *x = NULL;
    OK(cnn_tensor_new(&x, CNN_FLOAT32, SHAPE(0, 6, 6, 2)));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        cnn_layer *made = NULL;
        cnn_tensor *y = NULL;
        OK(cnn_layer_new(&made, kinds[i][0], kinds[i][1]));
        for (int training = 0; training < 2; training++) {
            OK(cnn_layer_call(&y, made, &x, 1, training));
            assert_int_equal(y->shape[0], 0);
            cnn_tensor_release(y);
        }
        cnn_layer_release(made);
    }
    cnn_tensor_release(x);
}

/* ---- batches ---------------------------------------------------------------------------------------------------- */

static void predictions_do_not_depend_on_the_batch_size(void **state) {
    (void)state;
    cnn_model *model = small_classifier();
    cnn_tensor *x = random_tensor(SHAPE(37, 8, 8, 1)), *want = predict(model, x, 37);
    static const int sizes[] = {1, 2, 3, 5, 16, 36, 1000};
    for (int i = 0; i < 7; i++) {
        cnn_tensor *got = predict(model, x, sizes[i]);
        expect_equal(got, want);
        cnn_tensor_release(got);
    }
    cnn_tensor_release(x);
    cnn_tensor_release(want);
    cnn_model_release(model);
}

static void the_instruction_set_may_change_between_runs(void **state) {
    (void)state;
    const char *was = cnn_cpu();
    cnn_model *model = small_classifier();
    cnn_tensor *x = random_tensor(SHAPE(5, 8, 8, 1)), *want = predict(model, x, 0);
    static const char *const names[] = {"generic", "sse2", "avx2", "avx512"};
    for (int i = 0; i < 4; i++) {
        if (cnn_set_cpu(names[i]) != CNN_OK) continue;
        cnn_tensor *got = predict(model, x, 0);
        expect_equal(got, want);
        cnn_tensor_release(got);
    }
    OK(cnn_set_cpu(was));
    cnn_tensor_release(x);
    cnn_tensor_release(want);
    cnn_model_release(model);
}

static float *weights_after(int threads, const char *optimizer, size_t *bytes) {
    int before = cnn_threads();
    cnn_set_threads(threads);
    cnn_set_seed(11);
    cnn_model *model = small_classifier();
    char config[128];
    snprintf(config, sizeof config, "{\"optimizer\": \"%s\", \"loss\": \"sparse_categorical_crossentropy\"}",
             optimizer);
    OK(cnn_model_compile(model, config));
    cnn_tensor *x = random_tensor(SHAPE(45, 8, 8, 1)), *y = labels(45, 3);
    OK(cnn_model_fit(model, &(cnn_fit_options){.x = x, .y = y, .batch_size = 16, .epochs = 3}, NULL));
    *bytes = (size_t)cnn_model_count_params(model) * sizeof(float);
    float *all = malloc(*bytes), *to = all;
    for (int i = 0; i < cnn_layer_variable_count(cnn_model_as_layer(model)); i++) {
        const cnn_tensor *v = cnn_layer_variable(cnn_model_as_layer(model), i)->value;
        memcpy(to, v->data, cnn_tensor_bytes(v));
        to += v->size;
    }
    cnn_tensor_release(x);
    cnn_tensor_release(y);
    cnn_model_release(model);
    cnn_set_threads(before);
    return all;
}

static void training_is_the_same_on_any_number_of_threads(void **state) {
    (void)state;
    static const char *const optimizers[] = {"sgd", "adam", "rmsprop"};
    for (int k = 0; k < 3; k++) {
        size_t bytes;
        float *want = weights_after(1, optimizers[k], &bytes);
        for (int threads = 2; threads < 8; threads += threads == 3 ? 4 : 1) {
            float *got = weights_after(threads, optimizers[k], &bytes);
            assert_memory_equal(got, want, bytes);
            free(got);
        }
        free(want);
    }
}

/* ---- allocation --------------------------------------------------------------------------------------------------- */

static bool count_allocations(size_t size, void *data) {
    (void)size;
    ++*(int *)data;
    return false;
}

static int allocations_of_fit(cnn_model *model, cnn_tensor *x, cnn_tensor *y, int epochs) {
    int count = 0;
    cnn_set_alloc_hook(count_allocations, &count);
    OK(cnn_model_fit(model, &(cnn_fit_options){.x = x, .y = y, .epochs = epochs, .batch_size = 16}, NULL));
    cnn_set_alloc_hook(NULL, NULL);
    return count;
}

static void training_steps_allocate_nothing(void **state) {
    (void)state;
    cnn_model *model = small_classifier();
    OK(cnn_model_compile(model,
                         "{\"loss\": \"sparse_categorical_crossentropy\", \"metrics\": [\"accuracy\"]}"));
    cnn_tensor *x = random_tensor(SHAPE(45, 8, 8, 1)), *y = labels(45, 3), *half_x = NULL, *half_y = NULL;
    OK(cnn_view(&half_x, x, 0, 16));
    OK(cnn_view(&half_y, y, 0, 16));
    allocations_of_fit(model, x, y, 1);
    int of_many = allocations_of_fit(model, x, y, 1), of_few = allocations_of_fit(model, half_x, half_y, 1);
    assert_int_equal(of_many, of_few); /* three steps or one */
    int most = allocations_of_fit(model, x, y, 8) - of_many;
    if (most > 7) fail_msg("%d allocations in 7 epochs", most);

    double values[2];
    OK(cnn_model_train_on_batch(model, half_x, half_y, NULL, values, 2));
    int count = 0;
    cnn_set_alloc_hook(count_allocations, &count);
    OK(cnn_model_train_on_batch(model, half_x, half_y, NULL, values, 2));
    cnn_set_alloc_hook(NULL, NULL);
    assert_int_equal(count, 0);
    cnn_tensor *made[] = {half_x, half_y, x, y};
    for (int i = 0; i < 4; i++) cnn_tensor_release(made[i]);
    cnn_model_release(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_behind_ops_belong_to_the_model),
        cmocka_unit_test(a_model_called_gives_what_it_predicts),
        cmocka_unit_test(layers_that_change_nothing_make_no_cycle),
        cmocka_unit_test(a_model_may_begin_amid_another),
        cmocka_unit_test(popped_layers_leave_the_rest_as_it_was),
        cmocka_unit_test(models_may_have_thousands_of_layers),
        cmocka_unit_test(wrong_wirings_are_refused),
        cmocka_unit_test(no_model_is_a_layer_of_itself),
        cmocka_unit_test(models_without_layers_say_so),
        cmocka_unit_test(data_of_other_shapes_is_refused),
        cmocka_unit_test(convolutions_too_large_for_their_kernels_are_refused),
        cmocka_unit_test(no_samples_in_no_samples_out),
        cmocka_unit_test(predictions_do_not_depend_on_the_batch_size),
        cmocka_unit_test(the_instruction_set_may_change_between_runs),
        cmocka_unit_test(training_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(training_steps_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
