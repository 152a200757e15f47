/* Weights and optimizers' states in Keras's HDF5 trees: what is written where, what is read from the files of which
 * version, what does not fit, and that nothing is lost on the way through a file. */
#include "tensor_test.h"
#include "io/archive.h"
#include "io/keras_weights.h"
#include "train/schedule.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

static const cnn_weights_options strict = {0}, by_name = {.by_name = true},
                                 skipping = {.skip_mismatch = true};

/* ---- models ---------------------------------------------------------------------------------------------- */

static void add(cnn_model *model, const char *class_name, const char *config) {
    OK(cnn_model_add_new(model, class_name, config));
}

static cnn_layer *layer_new(const char *class_name, const char *config) {
    cnn_layer *layer = NULL;
    OK(cnn_layer_new(&layer, class_name, config));
    return layer;
}

static cnn_tensor *call(cnn_layer *layer, cnn_tensor *input) {
    cnn_tensor *out = NULL;
    OK(cnn_layer_call(&out, layer, &input, 1, false));
    return out;
}

/* Convolution, batch normalization, Dense: 8 weights, 6 of them trainable. */
static cnn_model *plain_model(void) {
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, "plain"));
    add(model, "Conv2D",
        "{\"filters\": 2, \"kernel_size\": 3, \"input_shape\": [6, 6, 1], \"name\": \"conv2d\"}");
    add(model, "BatchNormalization", "{\"name\": \"batch_normalization\"}");
    add(model, "MaxPooling2D", "{\"name\": \"max_pooling2d\"}");
    add(model, "Flatten", "{\"name\": \"flatten\"}");
    add(model, "Dense", "{\"units\": 3, \"activation\": \"softmax\", \"name\": \"dense\"}");
    return model;
}

/* Dense layers "a" and "b", named as told. */
static cnn_model *dense_model(const char *first, int units, const char *second) {
    char config[128];
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, NULL));
    snprintf(config, sizeof config, "{\"units\": %d, \"input_shape\": [2], \"name\": \"%s\"}", units, first);
    add(model, "Dense", config);
    snprintf(config, sizeof config, "{\"units\": 1, \"use_bias\": false, \"name\": \"%s\"}", second);
    add(model, "Dense", config);
    return model;
}

/* A model within: its batch normalization has weights that are not trained, before its last convolution. */
static cnn_model *inner_model(void) {
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, "inner"));
    add(model, "Conv2D",
        "{\"filters\": 2, \"kernel_size\": 1, \"input_shape\": [6, 6, 2], \"name\": \"first\"}");
    add(model, "BatchNormalization", "{\"name\": \"norm\"}");
    add(model, "Conv2D", "{\"filters\": 2, \"kernel_size\": 1, \"name\": \"last\"}");
    return model;
}

/* A functional model with a shared model and a shared layer within, each called twice, and a model without weights. */
static cnn_model *nested_model(bool frozen) {
    cnn_model *inner = inner_model(), *still = NULL, *model = NULL;
    cnn_tensor *x[10] = {0};
    cnn_layer *shared = layer_new("Conv2D", "{\"filters\": 2, \"kernel_size\": 1, \"name\": \"shared\"}");
    cnn_layer *flat = layer_new("Flatten", "{\"name\": \"flat\"}");
    cnn_layer *dense = layer_new("Dense", "{\"units\": 3, \"activation\": \"softmax\", \"name\": \"out\"}");
    cnn_layer *first = layer_new("Conv2D", "{\"filters\": 2, \"kernel_size\": 1, \"name\": \"entry\"}");
    OK(cnn_sequential_new(&still, "still"));
    add(still, "ReLU", "{\"name\": \"relu\"}");
    OK(cnn_input(&x[0], SHAPE(6, 6, 1), CNN_FLOAT32, "pictures"));
    cnn_layer *chain[] = {first,  cnn_model_as_layer(inner), shared, cnn_model_as_layer(still),
                          shared, cnn_model_as_layer(inner), flat,   dense};
    for (int i = 0; i < 8; i++) x[i + 1] = call(chain[i], x[i]);
    if (frozen) cnn_layer_set_trainable(cnn_model_layer(inner, 0), false);
    OK(cnn_functional_new(&model, "nested", &x[0], 1, &x[8], 1));
    for (int i = 0; i < 9; i++) cnn_tensor_release(x[i]);
    cnn_layer_release(shared);
    cnn_layer_release(flat);
    cnn_layer_release(dense);
    cnn_layer_release(first);
    cnn_model_release(inner);
    cnn_model_release(still);
    return model;
}

/* Different numbers in every weight of the model. */
static void scramble(cnn_model *model, uint32_t seed) {
    const cnn_layer *layer = cnn_model_as_layer(model);
    uint32_t state = seed * 2654435761u + 99;
    for (int i = 0; i < layer->variable_count; i++) {
        cnn_tensor *t = layer->variables[i]->value;
        for (int64_t j = 0; j < t->size; j++) {
            state = state * 1664525u + 1013904223u;
            cnn_f32(t)[j] = (float)((state >> 8) % 20011) / 20011.0f + 0.01f;
        }
    }
}

static void expect_equal_weights(const cnn_model *a, const cnn_model *b) {
    assert_int_equal(a->layer.variable_count, b->layer.variable_count);
    for (int i = 0; i < a->layer.variable_count; i++) {
        const cnn_tensor *x = a->layer.variables[i]->value, *y = b->layer.variables[i]->value;
        assert_int_equal(x->size, y->size);
        assert_memory_equal(x->data, y->data, (size_t)x->size * sizeof(float));
    }
}

static float first_of(const cnn_model *model, const char *layer_name, int variable) {
    cnn_layer *layer = NULL;
    OK(cnn_model_get_layer(&layer, model, layer_name));
    return cnn_f32(cnn_layer_variable(layer, variable)->value)[0];
}

/* ---- trees ----------------------------------------------------------------------------------------------- */

static cnn_h5_node *tree_new(void) {
    cnn_h5_node *root = NULL;
    OK(cnn_h5_new(&root));
    return root;
}

/* The same tree, having been a file. */
static cnn_h5_node *through_a_file(cnn_h5_node *root) {
    void *bytes = NULL;
    size_t size = 0;
    cnn_h5_node *read = NULL;
    OK(cnn_h5_bytes(&bytes, &size, root));
    OK(cnn_h5_read_bytes(&read, "test.h5", bytes, size));
    cnn_free(bytes);
    cnn_h5_free(root);
    return read;
}

static void expect_list(const cnn_h5_node *root, const char *path, const char *attribute, int count,
                        const char *const *wanted) {
    const cnn_h5_node *node = cnn_h5_find(root, path);
    assert_non_null(node);
    const cnn_h5_value *value = cnn_h5_get(node, attribute);
    assert_non_null(value);
    assert_int_equal(value->count, count);
    for (int i = 0; i < count; i++) assert_string_equal(value->strings[i], wanted[i]);
}
#define EXPECT_LIST(root, path, attribute, ...)                                                              \
    expect_list(root, path, attribute, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),        \
                (const char *[]){__VA_ARGS__})

/* A tensor full of one number. */
static void put(cnn_h5_node *root, const char *path, int rank, const int64_t *shape, double value) {
    cnn_tensor *tensor = NULL;
    OK(cnn_tensor_full(&tensor, CNN_FLOAT32, rank, shape, value));
    OK(cnn_h5_add_tensor(root, path, tensor));
    cnn_tensor_release(tensor);
}

static void put_integer(cnn_h5_node *root, const char *path, int64_t value) {
    OK(cnn_h5_add_integers(root, path, CNN_H5_INT64, 0, NULL, &value));
}

static void list(cnn_h5_node *root, const char *path, const char *attribute, int count,
                 const char *const *names) {
    cnn_h5_node *group = NULL;
    OK(cnn_h5_group(&group, root, path));
    OK(cnn_h5_set_list(group, attribute, names, count));
}
#define LIST(root, path, attribute, ...)                                                                     \
    list(root, path, attribute, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),               \
         (const char *[]){__VA_ARGS__})

static cnn_status read_into(cnn_model *model, const cnn_h5_node *root, const cnn_weights_options *options,
                            char **notes) {
    cnn_text text = {0};
    cnn_status status = cnn_weights_read(model, root, options, &text);
    *notes = cnn_text_take(&text);
    return status;
}

static void read_well(cnn_model *model, const cnn_h5_node *root, const cnn_weights_options *options) {
    char *notes = NULL;
    OK(read_into(model, root, options, &notes));
    if (notes && *notes) print_error("notes: %s", notes);
    assert_true(!notes || !*notes);
    free(notes);
}

static void expect_note(cnn_model *model, const cnn_h5_node *root, const cnn_weights_options *options,
                        const char *text) {
    char *notes = NULL;
    OK(read_into(model, root, options, &notes));
    assert_non_null(notes);
    if (!strstr(notes, text)) print_error("notes: %s", notes);
    assert_non_null(strstr(notes, text));
    free(notes);
}

/* Reading fails, and changes nothing. */
static void expect_failure(cnn_model *model, const cnn_h5_node *root, const cnn_weights_options *options,
                           cnn_status status, const char *text) {
    char *notes = NULL;
    float before = cnn_f32(model->layer.variables[0]->value)[0];
    cnn_status got = read_into(model, root, options, &notes);
    assert_fails(got, status, text);
    assert_float_equal(cnn_f32(model->layer.variables[0]->value)[0], before, 0);
    free(notes);
}

/* ---- what is written ------------------------------------------------------------------------------------- */

static void writes_keras_2s_groups(void **state) {
    (void)state;
    cnn_model *model = plain_model();
    cnn_h5_node *root = tree_new();
    OK(cnn_weights_write(root, model, CNN_WEIGHTS_KERAS_2));
    root = through_a_file(root);
    EXPECT_LIST(root, "", "layer_names", "conv2d", "batch_normalization", "max_pooling2d", "flatten",
                "dense");
    assert_string_equal(cnn_h5_text(root, "backend"), "tensorflow");
    assert_string_equal(cnn_h5_text(root, "keras_version"), "2.10.0");
    EXPECT_LIST(root, "conv2d", "weight_names", "conv2d/kernel:0", "conv2d/bias:0");
    EXPECT_LIST(root, "batch_normalization", "weight_names", "batch_normalization/gamma:0",
                "batch_normalization/beta:0", "batch_normalization/moving_mean:0",
                "batch_normalization/moving_variance:0");
    assert_int_equal(cnn_h5_get(cnn_h5_find(root, "flatten"), "weight_names")->count, 0);
    assert_int_equal(cnn_h5_get(cnn_h5_find(root, "top_level_model_weights"), "weight_names")->count, 0);
    const cnn_h5_node *kernel = cnn_h5_find(root, "conv2d/conv2d/kernel:0");
    assert_non_null(kernel);
    assert_int_equal(kernel->value->rank, 4);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* Trained first: the frozen convolution and the statistics of the normalization come last. */
static void orders_a_model_within_by_what_is_trained(void **state) {
    (void)state;
    cnn_model *model = nested_model(true);
    cnn_h5_node *root = tree_new();
    OK(cnn_weights_write(root, model, CNN_WEIGHTS_KERAS_2));
    EXPECT_LIST(root, "inner", "weight_names", "norm/gamma:0", "norm/beta:0", "last/kernel:0", "last/bias:0",
                "first/kernel:0", "first/bias:0", "norm/moving_mean:0", "norm/moving_variance:0");
    assert_int_equal(cnn_h5_get(cnn_h5_find(root, "pictures"), "weight_names")->count, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

static void numbers_weights_of_one_name(void **state) {
    (void)state;
    cnn_model *one = dense_model("a", 3, "b"), *two = NULL, *outer = NULL;
    OK(cnn_sequential_new(&two, "two"));
    add(two, "Dense", "{\"units\": 2, \"input_shape\": [1], \"name\": \"a\"}");
    OK(cnn_sequential_new(&outer, "outer"));
    OK(cnn_model_add(outer, cnn_model_as_layer(one)));
    OK(cnn_model_add(outer, cnn_model_as_layer(two)));
    cnn_model *top = NULL;
    OK(cnn_sequential_new(&top, "top"));
    OK(cnn_model_add(top, cnn_model_as_layer(outer)));
    scramble(top, 1);
    cnn_h5_node *root = tree_new();
    OK(cnn_weights_write(root, top, CNN_WEIGHTS_KERAS_2));
    EXPECT_LIST(root, "outer", "weight_names", "a/kernel:0", "a/bias:0", "b/kernel:0", "a/kernel:0_1",
                "a/bias:0_1");
    root = through_a_file(root);
    float kept[5];
    for (int i = 0; i < 5; i++) kept[i] = cnn_f32(top->layer.variables[i]->value)[0];
    scramble(top, 2);
    read_well(top, root, &strict);
    for (int i = 0; i < 5; i++) assert_float_equal(cnn_f32(top->layer.variables[i]->value)[0], kept[i], 0);
    cnn_h5_free(root);
    cnn_model_release(top);
    cnn_model_release(outer);
    cnn_model_release(one);
    cnn_model_release(two);
}

static void writes_keras_3s_groups(void **state) {
    (void)state;
    cnn_model *model = nested_model(false);
    cnn_h5_node *root = tree_new();
    OK(cnn_weights_write(root, model, CNN_WEIGHTS_KERAS_3));
    root = through_a_file(root);
    static const struct {
        const char *vars, *name;
        int count;
    } groups[] = {{"vars", "nested", 0},
                  {"layers/input_layer/vars", "pictures", 0},
                  {"layers/conv2d/vars", "entry", 2},
                  {"layers/sequential/vars", "inner", 0},
                  {"layers/sequential/layers/conv2d/vars", "first", 2},
                  {"layers/sequential/layers/batch_normalization/vars", "norm", 4},
                  {"layers/sequential/layers/conv2d_1/vars", "last", 2},
                  {"layers/conv2d_1/vars", "shared", 2},
                  {"layers/sequential_1/layers/re_lu/vars", "relu", 0},
                  {"layers/flatten/vars", "flat", 0},
                  {"layers/dense/vars", "out", 2}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const cnn_h5_node *vars = cnn_h5_find(root, groups[i].vars);
        if (!vars) print_error("no %s\n", groups[i].vars);
        assert_non_null(vars);
        assert_string_equal(cnn_h5_text(vars, "name"), groups[i].name);
        assert_int_equal(vars->child_count, groups[i].count);
    }
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* ---- round trips ----------------------------------------------------------------------------------------- */

static void keeps_all_weights(void **state) {
    (void)state;
    for (int form = CNN_WEIGHTS_KERAS_2; form <= (int)CNN_WEIGHTS_KERAS_3; form++)
        for (int kind = 0; kind < 3; kind++) {
            cnn_model *model = kind == 0 ? plain_model() : nested_model(kind == 1);
            cnn_model *fresh = kind == 0 ? plain_model() : nested_model(kind == 1);
            scramble(model, 1);
            cnn_h5_node *root = tree_new();
            OK(cnn_weights_write(root, model, (cnn_weights_form)form));
            root = through_a_file(root);
            uint32_t version = fresh->layer.variables[0]->value->version;
            read_well(fresh, root, &strict);
            expect_equal_weights(model, fresh);
            assert_int_not_equal(fresh->layer.variables[0]->value->version, version);
            scramble(fresh, 2);
            read_well(fresh, root, &by_name);
            expect_equal_weights(model, fresh);
            cnn_h5_free(root);
            cnn_model_release(model);
            cnn_model_release(fresh);
        }
}

static void train(cnn_model *model, int from, int to) {
    for (int step = from; step < to; step++) {
        cnn_tensor *x = NULL, *y = NULL;
        double values[4];
        OK(cnn_tensor_new(&x, CNN_FLOAT32, SHAPE(4, 6, 6, 1)));
        for (int64_t i = 0; i < x->size; i++)
            cnn_f32(x)[i] = (float)((i * 37 + step * 101) % 97) / 97.0f - 0.4f;
        y = TENSOR(CNN_INT32, SHAPE(4), (double)(step % 3), 1, 2, 0);
        OK(cnn_model_train_on_batch(model, x, y, NULL, values, 4));
        cnn_tensor_release(x);
        cnn_tensor_release(y);
    }
}

static void compile(cnn_model *model, const char *optimizer) {
    char config[400];
    snprintf(config, sizeof config, "{\"optimizer\": %s, \"loss\": \"sparse_categorical_crossentropy\"}",
             optimizer);
    OK(cnn_model_compile(model, config));
}

static cnn_optimizer *optimizer_of(const cnn_model *model) {
    return model->trainer->optimizer;
}

static int slot_count(const cnn_optimizer *optimizer) {
    return ((const cnn_optimizer_class *)optimizer->class)->slot_count;
}

static void expect_equal_states(const cnn_optimizer *a, const cnn_optimizer *b) {
    assert_int_equal(a->iterations, b->iterations);
    assert_int_equal(a->variable_count, b->variable_count);
    assert_true(a->rate == b->rate);
    for (int i = 0; i < a->variable_count * slot_count(a); i++) {
        assert_true(!a->slots[i] == !b->slots[i]);
        if (a->slots[i])
            assert_memory_equal(a->slots[i], b->slots[i],
                                (size_t)a->sizes[i / slot_count(a)] * sizeof(float));
    }
}

static void read_state(cnn_model *model, const cnn_h5_node *root) {
    cnn_text text = {0};
    OK(cnn_optimizer_read(model, root, &text));
    if (text.length > 0) print_error("notes: %s", text.bytes);
    assert_int_equal(text.length, 0);
    cnn_text_free(&text);
}

static void expect_state_left(cnn_model *model, const cnn_h5_node *root) {
    cnn_text text = {0};
    OK(cnn_optimizer_read(model, root, &text));
    assert_true(text.length > 0);
    assert_non_null(strstr(text.bytes, "optimizer"));
    assert_int_equal(optimizer_of(model)->iterations, 0);
    cnn_text_free(&text);
}

static const char *const optimizers[] = {
    "\"sgd\"",
    "{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.013, \"momentum\": 0.9, \"nesterov\": "
    "true}}",
    "\"rmsprop\"",
    "{\"class_name\": \"RMSprop\", \"config\": {\"momentum\": 0.5, \"centered\": true}}",
    "{\"class_name\": \"RMSprop\", \"config\": {\"centered\": true}}",
    "\"adam\"",
    "{\"class_name\": \"Adam\", \"config\": {\"amsgrad\": true, \"learning_rate\": 0.1}}",
    "{\"class_name\": \"AdamW\", \"config\": {\"amsgrad\": true, \"clipnorm\": 1.0}}",
    "\"adagrad\"",
    "{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": {\"class_name\": \"ExponentialDecay\", "
    "\"config\": {\"initial_learning_rate\": 0.1, \"decay_steps\": 2, \"decay_rate\": 0.5}}}}"};

static void goes_on_as_if_never_saved(const char *spec, cnn_weights_form form, bool nested) {
    cnn_model *model = nested ? nested_model(true) : plain_model();
    cnn_model *fresh = nested ? nested_model(true) : plain_model();
    compile(model, spec);
    compile(fresh, spec);
    train(model, 0, 3);
    cnn_h5_node *root = tree_new();
    OK(cnn_weights_write(root, model, form));
    OK(cnn_optimizer_write(root, model, form));
    root = through_a_file(root);
    read_well(fresh, root, &strict);
    read_state(fresh, root);
    assert_int_equal(optimizer_of(fresh)->iterations, 3);
    expect_equal_states(optimizer_of(model), optimizer_of(fresh));
    cnn_h5_free(root);
    train(model, 3, 6);
    train(fresh, 3, 6);
    expect_equal_weights(model, fresh);
    expect_equal_states(optimizer_of(model), optimizer_of(fresh));
    cnn_model_release(model);
    cnn_model_release(fresh);
}

static void resumes_every_optimizer(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++)
        for (int form = CNN_WEIGHTS_KERAS_2; form <= (int)CNN_WEIGHTS_KERAS_3; form++)
            goes_on_as_if_never_saved(optimizers[i], (cnn_weights_form)form, i % 3 == 0);
}

static void orders_slots_as_keras_does(void **state) {
    (void)state;
    cnn_model *model = plain_model();
    cnn_h5_node *root = tree_new();
    compile(model, optimizers[6]);
    train(model, 0, 1);
    OK(cnn_optimizer_write(root, model, CNN_WEIGHTS_KERAS_2));
    OK(cnn_optimizer_write(root, model, CNN_WEIGHTS_KERAS_3));
    root = through_a_file(root);
    const cnn_h5_value *names = cnn_h5_get(cnn_h5_find(root, "optimizer_weights"), "weight_names");
    assert_int_equal(names->count, 1 + 3 * 6);
    assert_string_equal(names->strings[0], "Adam/iter:0");
    assert_string_equal(names->strings[1], "Adam/conv2d/kernel/m:0");
    assert_string_equal(names->strings[2], "Adam/conv2d/bias/m:0");
    assert_string_equal(names->strings[7], "Adam/conv2d/kernel/v:0");
    assert_string_equal(names->strings[13], "Adam/conv2d/kernel/vhat:0");
    const cnn_h5_node *vars = cnn_h5_find(root, "optimizer/vars");
    assert_string_equal(cnn_h5_text(vars, "name"), "adam");
    assert_int_equal(vars->child_count, 2 + 3 * 6);
    assert_int_equal(cnn_h5_find(vars, "0")->value->integers[0], 1);
    assert_float_equal(cnn_f32(cnn_h5_find(vars, "1")->value->tensor)[0], 0.1, 1e-7);
    float *const *slots = optimizer_of(model)->slots; /* momentum, velocity, velocity_hat of each variable */
    static const int order[] = {0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 2, 5, 8, 11, 14, 17};
    for (int i = 0; i < 18; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i + 2);
        const cnn_tensor *tensor = cnn_h5_find(vars, number)->value->tensor;
        assert_memory_equal(tensor->data, slots[order[i]], (size_t)tensor->size * sizeof(float));
    }
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* ---- weights from other files ---------------------------------------------------------------------------- */

/* A file of weights as Keras 1 to 3 write them, for dense_model: 2 layers with odd names, and one without weights. */
static cnn_h5_node *dense_file(const char *first, int64_t units, const char *second) {
    cnn_h5_node *root = tree_new();
    char path[64];
    LIST(root, "", "layer_names", first, "between", second);
    LIST(root, first, "weight_names", "uniform1", "scope/deep/bias:0");
    list(root, "between", "weight_names", 0, NULL);
    LIST(root, second, "weight_names", "kernel");
    snprintf(path, sizeof path, "%s/uniform1", first);
    put(root, path, SHAPE(2, units), 1);
    snprintf(path, sizeof path, "%s/scope/deep/bias:0", first);
    put(root, path, SHAPE(units), 2);
    snprintf(path, sizeof path, "%s/kernel", second);
    put(root, path, SHAPE(units, 1), 3);
    return root;
}

static void reads_by_order_whatever_the_names(void **state) {
    (void)state;
    cnn_h5_node *root = dense_file("fire2/squeeze1x1", 3, "fire2/expand");
    cnn_model *model = dense_model("a", 3, "b");
    read_well(model, root, &strict);
    assert_float_equal(first_of(model, "a", 0), 1, 0);
    assert_float_equal(first_of(model, "a", 1), 2, 0);
    assert_float_equal(first_of(model, "b", 0), 3, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

static void reads_a_whole_models_file(void **state) {
    (void)state;
    cnn_model *model = plain_model(), *fresh = plain_model();
    cnn_h5_node *root = tree_new(), *group = NULL;
    scramble(model, 3);
    OK(cnn_h5_group(&group, root, "model_weights"));
    OK(cnn_weights_write(group, model, CNN_WEIGHTS_KERAS_2));
    root = through_a_file(root);
    read_well(fresh, root, &strict);
    expect_equal_weights(model, fresh);
    cnn_h5_free(root);
    cnn_model_release(model);
    cnn_model_release(fresh);
}

static void reads_by_name_what_is_there(void **state) {
    (void)state;
    cnn_h5_node *root = dense_file("fire2/squeeze1x1", 3, "b");
    cnn_model *model = dense_model("other", 3, "b");
    scramble(model, 1);
    float other = first_of(model, "other", 0);
    read_well(model, root, &by_name);
    assert_float_equal(first_of(model, "b", 0), 3, 0);
    assert_float_equal(first_of(model, "other", 0), other, 0);
    cnn_model_release(model);
    model = dense_model("x", 3, "y");
    expect_note(model, root, &by_name, "no layer");
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* Layers of parallel branches come in an order that is not the same everywhere. */
static void the_same_names_in_another_order_go_by_name(void **state) {
    (void)state;
    cnn_h5_node *root = dense_file("b", 2, "a");
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, NULL));
    add(model, "Dense", "{\"units\": 2, \"use_bias\": false, \"input_shape\": [1], \"name\": \"between\"}");
    add(model, "Dense", "{\"units\": 1, \"use_bias\": false, \"name\": \"a\"}");
    add(model, "Dense", "{\"units\": 2, \"use_bias\": false, \"name\": \"c\"}");
    add(model, "Dense", "{\"units\": 2, \"name\": \"b\"}");
    LIST(root, "between", "weight_names", "k");
    put(root, "between/k", SHAPE(1, 2), 5);
    LIST(root, "", "layer_names", "b", "a", "between", "c");
    LIST(root, "c", "weight_names", "k");
    put(root, "c/k", SHAPE(1, 2), 6);
    read_well(model, root, &strict);
    assert_float_equal(first_of(model, "a", 0), 3, 0);
    assert_float_equal(first_of(model, "b", 1), 2, 0);
    assert_float_equal(first_of(model, "c", 0), 6, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

static void tells_what_does_not_fit(void **state) {
    (void)state;
    cnn_h5_node *root = dense_file("a", 4, "b");
    cnn_model *model = dense_model("a", 3, "other");
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE,
                   "layer 'a' expects weights of shapes [(2, 3), (3,)], the file's 'a' has [(2, 4), (4,)]");
    expect_failure(model, root, &by_name, CNN_ERROR_SHAPE, "layer 'a' expects");
    expect_note(model, root, &skipping, "layer 'a' expects weights of shapes [(2, 3), (3,)]");
    add(model, "Dense", "{\"units\": 3, \"name\": \"third\"}");
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE,
                   "the file has weights for 2 layers, the model has 3 layers with weights");
    cnn_h5_free(root);
    cnn_model_release(model);
}

static void skips_layers_that_do_not_fit(void **state) {
    (void)state;
    cnn_h5_node *root = dense_file("a", 3, "b");
    cnn_model *model = dense_model("a", 3, "b");
    put(root, "b/kernel", SHAPE(7, 1), 3);
    scramble(model, 1);
    float last = first_of(model, "b", 0);
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE, "'b'");
    expect_note(model, root, &skipping, "'b'");
    assert_float_equal(first_of(model, "a", 0), 1, 0);
    assert_float_equal(first_of(model, "b", 0), last, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* tf.keras 2.7 to 2.15 keep the states of random generators among the weights. */
static void leaves_whole_numbers_alone(void **state) {
    (void)state;
    cnn_h5_node *root = dense_file("a", 3, "b");
    cnn_model *model = dense_model("a", 3, "b");
    LIST(root, "between", "weight_names", "random_flip/StateVar:0");
    OK(cnn_h5_add_integers(root, "between/random_flip/StateVar:0", CNN_H5_INT64, 1, I64(3), I64(1, 2, 3)));
    read_well(model, root, &strict);
    assert_float_equal(first_of(model, "b", 0), 3, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* What was frozen when a file was written need not be now. */
static void reads_models_within_frozen_or_not(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        cnn_model *model = nested_model(true), *fresh = nested_model(false);
        scramble(model, 4);
        cnn_h5_node *root = tree_new();
        OK(cnn_weights_write(root, fresh, CNN_WEIGHTS_KERAS_2)); /* as if saved before freezing */
        scramble(fresh, 5);
        OK(cnn_weights_write(root, fresh, CNN_WEIGHTS_KERAS_2));
        if (!named) {
            cnn_h5_node *inner = cnn_h5_find(root, "inner");
            put(inner, "w7", SHAPE(2), 7);
            LIST(root, "inner", "weight_names", "first/kernel:0", "first/bias:0", "norm/gamma:0",
                 "norm/beta:0", "last/kernel:0", "last/bias:0", "norm/moving_mean:0", "w7");
        }
        read_well(model, root, &strict);
        if (named)
            expect_equal_weights(model, fresh);
        else
            assert_float_equal(cnn_f32(model->layer.variables[7]->value)[0], 7, 0);
        cnn_h5_free(root);
        cnn_model_release(model);
        cnn_model_release(fresh);
    }
}

/* ---- Keras 3's form from other versions ------------------------------------------------------------------ */

static void put_dense(cnn_h5_node *root, const char *group, int64_t inputs, int64_t units, bool bias,
                      double value) {
    char path[128];
    snprintf(path, sizeof path, "%s/vars/0", group);
    put(root, path, SHAPE(inputs, units), value);
    snprintf(path, sizeof path, "%s/vars/1", group);
    if (bias) put(root, path, SHAPE(units), value + 1);
}

/* To 3.5 without names; the numbers go by the order of layers. */
static void reads_keras_3_without_names(void **state) {
    (void)state;
    cnn_h5_node *root = tree_new();
    cnn_model *model = dense_model("x", 3, "y");
    put_dense(root, "layers/dense", 2, 3, true, 1);
    put_dense(root, "layers/dense_1", 3, 1, false, 5);
    OK(cnn_h5_add_integers(root, "layers/dropout/seed_generator/vars/0", CNN_H5_UINT32, 1, I64(2),
                           I64(0, 7)));
    read_well(model, root, &strict);
    assert_float_equal(first_of(model, "x", 0), 1, 0);
    assert_float_equal(first_of(model, "y", 0), 5, 0);
    expect_failure(model, root, &by_name, CNN_ERROR_FORMAT, "names");
    put_dense(root, "layers/dense_2", 3, 1, false, 5);
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE,
                   "the file has weights for 3 layers, the model has 2");
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* 2.12 and 2.13 count layers with weights twice. */
static void reads_numbers_with_gaps(void **state) {
    (void)state;
    cnn_h5_node *root = tree_new();
    cnn_model *model = dense_model("x", 3, "y");
    put_dense(root, "_layer_checkpoint_dependencies/dense", 2, 3, true, 1);
    put_dense(root, "_layer_checkpoint_dependencies/dense_2", 3, 1, false, 5);
    read_well(model, root, &strict);
    assert_float_equal(first_of(model, "x", 1), 2, 0);
    assert_float_equal(first_of(model, "y", 0), 5, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* By their numbers, not their letters, and of many layers at once. */
static void reads_many_numbers_with_gaps(void **state) {
    enum { LAYERS = 400 };
    (void)state;
    cnn_h5_node *root = tree_new();
    cnn_model *model = NULL;
    char text[64];
    OK(cnn_sequential_new(&model, NULL));
    for (int i = 0; i < LAYERS; i++) {
        snprintf(text, sizeof text, "{\"units\": 1, \"name\": \"x%d\"%s}", i,
                 i == 0 ? ", \"input_shape\": [1]" : "");
        OK(cnn_model_add_new(model, "Dense", text));
        snprintf(text, sizeof text, i == 0 ? "%s" : "%s_%d", "_layer_checkpoint_dependencies/dense", 2 * i);
        put_dense(root, text, 1, 1, true, (float)i);
    }
    read_well(model, root, &strict);
    for (int i = 0; i < LAYERS; i++) {
        snprintf(text, sizeof text, "x%d", i);
        assert_float_equal(first_of(model, text, 0), i, 0);
    }
    cnn_h5_free(root);
    cnn_model_release(model);
}

static void reads_paths_of_windows(void **state) {
    (void)state;
    cnn_h5_node *root = tree_new();
    cnn_model *inner = dense_model("x", 3, "y"), *model = NULL;
    OK(cnn_sequential_new(&model, NULL));
    OK(cnn_model_add(model, cnn_model_as_layer(inner)));
    put_dense(root, "layers\\sequential\\layers\\dense", 2, 3, true, 1);
    put_dense(root, "layers\\sequential\\layers\\dense_1", 3, 1, false, 5);
    root = through_a_file(root);
    read_well(model, root, &strict);
    assert_float_equal(first_of(inner, "x", 1), 2, 0);
    assert_float_equal(first_of(inner, "y", 0), 5, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
    cnn_model_release(inner);
}

static void tells_what_keras_3s_file_lacks(void **state) {
    (void)state;
    cnn_h5_node *root = tree_new();
    cnn_model *model = dense_model("x", 3, "y");
    put_dense(root, "layers/dense", 2, 4, true, 1);
    put_dense(root, "layers/conv2d", 3, 1, false, 5);
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE,
                   "layer 'x' expects weights of shapes [(2, 3), (3,)]");
    put_dense(root, "layers/dense", 2, 3, true, 1);
    put(root, "layers/dense/vars/1", SHAPE(3), 2);
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE, "no weights for layer 'y'");
    expect_note(model, root, &skipping, "no weights for layer 'y'");
    assert_float_equal(first_of(model, "x", 0), 1, 0);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* ---- trees that make no sense ---------------------------------------------------------------------------- */

static void survives_nonsense(void **state) {
    (void)state;
    cnn_model *model = dense_model("a", 3, "b");
    compile(model, "\"adam\"");
    cnn_h5_node *root = tree_new();
    expect_failure(model, root, &strict, CNN_ERROR_FORMAT, "no weights of a model");
    LIST(root, "", "layer_names", "a", "missing");
    list(root, "a", "weight_names", 0, NULL);
    expect_failure(model, root, &strict, CNN_ERROR_FORMAT, "'missing'");
    LIST(root, "a", "weight_names", "gone");
    expect_failure(model, root, &strict, CNN_ERROR_FORMAT, "'gone'");
    LIST(root, "a", "weight_names", "", "/");
    expect_failure(model, root, &strict, CNN_ERROR_FORMAT, "missing");
    OK(cnn_h5_set_text(root, "layer_names", "a"));
    expect_failure(model, root, &strict, CNN_ERROR_FORMAT, "missing");
    LIST(root, "a", "weight_names", "text", "0");
    put_integer(root, "a/0", 3);
    put(root, "a/text", SCALAR, 3);
    LIST(root, "", "layer_names", "a", "a", "a/text");
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE, "layer 'a' expects");
    cnn_h5_free(root);
    root = tree_new();
    put(root, "layers", SHAPE(2), 1);
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE, "weights for 0 layers");
    cnn_h5_free(root);
    root = tree_new();
    put_dense(root, "layers/dense", 2, 3, true, 1);
    put_dense(root, "layers/dense_99999999999999999999999", 3, 1, false, 1);
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE, "no weights for layer 'b'");
    put(root, "layers/dense/vars/x", SHAPE(1), 1);
    expect_failure(model, root, &strict, CNN_ERROR_FORMAT, "damaged");
    expect_failure(model, root, &skipping, CNN_ERROR_FORMAT, "damaged");
    put(root, "optimizer/vars/0", SHAPE(2), 1);
    put(root, "optimizer/vars/zero", SHAPE(2), 1);
    expect_state_left(model, root);
    put(root, "optimizer_weights", SHAPE(2), 1);
    cnn_text text = {0};
    OK(cnn_optimizer_read(model, root, &text));
    cnn_text_free(&text);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* ---- exhausted memory ------------------------------------------------------------------------------------- */

static int left;

static bool fail_in_turn(size_t size, void *data) {
    (void)size, (void)data;
    return left-- == 0;
}

typedef struct job {
    cnn_model *model;
    cnn_h5_node *root; /* to be written, or read */
    cnn_weights_form form;
} job;

static cnn_status write_all(job *j) {
    CNN_TRY(cnn_weights_write(j->root, j->model, j->form));
    return cnn_optimizer_write(j->root, j->model, j->form);
}

static cnn_status read_all(job *j) {
    cnn_text notes = {0};
    cnn_status status = cnn_weights_read(j->model, j->root, &skipping, &notes);
    if (status == CNN_OK) status = cnn_optimizer_read(j->model, j->root, &notes);
    cnn_text_free(&notes);
    return status;
}

/* True if the call got by without its n-th allocation. */
static bool survives(int n, cnn_status (*call_job)(job *j), job *j) {
    left = n;
    cnn_set_alloc_hook(fail_in_turn, NULL);
    cnn_status status = call_job(j);
    cnn_set_alloc_hook(NULL, NULL);
    if (left >= 0)
        OK(status);
    else if (status != CNN_OK)
        assert_int_equal(status, CNN_ERROR_MEMORY);
    return left >= 0;
}

static void survives_exhausted_memory(void **state) {
    (void)state;
    for (int form = CNN_WEIGHTS_KERAS_2; form <= (int)CNN_WEIGHTS_KERAS_3; form++) {
        job writing = {nested_model(true), NULL, (cnn_weights_form)form}, reading = writing;
        compile(writing.model, optimizers[6]);
        train(writing.model, 0, 1);
        bool done = false;
        for (int n = 0; !done; n++) {
            cnn_h5_free(writing.root);
            writing.root = tree_new();
            done = survives(n, write_all, &writing);
        }
        reading.model = nested_model(true);
        reading.root = writing.root;
        compile(reading.model, optimizers[6]);
        for (int n = 0; !survives(n, read_all, &reading); n++) continue;
        expect_equal_weights(writing.model, reading.model);
        expect_equal_states(optimizer_of(writing.model), optimizer_of(reading.model));
        cnn_h5_free(writing.root);
        cnn_model_release(writing.model);
        cnn_model_release(reading.model);
    }
}

/* ---- states of optimizers from other versions ------------------------------------------------------------ */

/* A file's list of states for dense_model("a", 3, "b"): the names in their order, %s in each the weight's name and %d
 * its position, with 10·slot + weight in each. */
static void put_state(cnn_h5_node *root, const char *steps, const char *const *formats, int slots,
                      bool paired) {
    static const char *const weights[] = {"a/kernel", "a/bias", "b/kernel"};
    static const int64_t shapes[][2] = {{2, 3}, {3, 0}, {3, 1}};
    static char texts[32][64];
    const char *names[32];
    int count = 0;
    cnn_h5_node *group = NULL;
    OK(cnn_h5_group(&group, root, "optimizer_weights"));
    if (steps) {
        names[count++] = steps;
        put_integer(group, steps, 7);
    }
    for (int i = 0; i < 3 * slots; i++) {
        int slot = paired ? i % slots : i / 3, weight = paired ? i / slots : i % 3;
        snprintf(texts[count], sizeof texts[count], formats[slot],
                 strstr(formats[slot], "%s") ? weights[weight] : (const char *)NULL);
        if (strstr(formats[slot], "%d")) snprintf(texts[count], sizeof texts[count], formats[slot], weight);
        put(group, texts[count], weight == 1 ? 1 : 2, shapes[weight], 10 * slot + weight);
        names[count] = texts[count];
        count++;
    }
    OK(cnn_h5_set_list(group, "weight_names", names, count));
}

/* Slot s of weight w holds 10·s + w. */
static void expect_slots(const cnn_model *model, int slots) {
    const cnn_optimizer *optimizer = optimizer_of(model);
    for (int weight = 0; weight < 3; weight++)
        for (int slot = 0; slot < slots; slot++)
            assert_float_equal(optimizer->slots[weight * slot_count(optimizer) + slot][0],
                               (float)(10 * slot + weight), 0);
}

typedef struct version {
    const char *optimizer, *steps;
    int slots;
    bool paired;
    const char *formats[3];
} version;

static const version versions[] = {
    {"\"adam\"", "Adam/iterations:0", 2, false, {"m_%d:0", "v_%d:0"}},     /* Keras 2.3 */
    {"\"adam\"", "Adam/iter:0", 2, false, {"Adam/%s/m:0", "Adam/%s/v:0"}}, /* tf.keras to 2.10 */
    {"\"adam\"", "iteration:0", 2, true, {"Adam/m/%s:0", "Adam/v/%s:0"}},  /* 2.11 to 2.15 */
    {"\"adam\"", "adam/iteration", 2, true, {"adam/x_%s_momentum", "adam/x_%s_velocity"}}, /* Keras 3 */
    {"\"sgd\"", "SGD/iteration:0", 1, false, {"SGD/m/%s:0"}}, /* 2.11: kept, not used */
    {"{\"class_name\": \"SGD\", \"config\": {\"momentum\": 0.9}}",
     "SGD/iter:0",
     1,
     false,
     {"SGD/%s/momentum:0"}},
    {"\"rmsprop\"", NULL, 1, false, {"training/RMSprop/Variable_%d:0"}}, /* Keras 2.2: without steps */
    {"{\"class_name\": \"RMSprop\", \"config\": {\"momentum\": 0.9, \"centered\": true}}",
     "RMSprop/iter:0",
     3,
     false,
     {"RMSprop/%s/rms:0", "RMSprop/%s/momentum:0", "RMSprop/%s/mg:0"}},
    {"{\"class_name\": \"Adam\", \"config\": {\"amsgrad\": true}}",
     "Adam/iter:0",
     3,
     false,
     {"Adam/%s/m:0", "Adam/%s/v:0", "Adam/%s/vhat:0"}},
    {"\"adagrad\"", "Adagrad/iter:0", 1, false, {"Adagrad/%s/accumulator:0"}}};

static void reads_states_of_all_versions(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        const version *v = &versions[i];
        cnn_model *model = dense_model("a", 3, "b");
        compile(model, v->optimizer);
        cnn_h5_node *root = tree_new();
        put_state(root, v->steps, v->formats, v->slots, v->paired);
        root = through_a_file(root);
        read_state(model, root);
        assert_int_equal(optimizer_of(model)->iterations, v->steps ? 7 : 0);
        if (strcmp(v->optimizer, "\"sgd\"") != 0) expect_slots(model, v->slots);
        cnn_h5_free(root);
        cnn_model_release(model);
    }
}

/* Before tf.keras, Adam without amsgrad had a number in place of each third slot. */
static void reads_keras_2s_empty_third_slots(void **state) {
    (void)state;
    cnn_model *model = dense_model("a", 3, "b");
    compile(model, "\"adam\"");
    cnn_h5_node *root = tree_new();
    put_state(root, "Adam/iterations:0", (const char *[]){"m_%d:0", "v_%d:0"}, 2, false);
    LIST(root, "optimizer_weights", "weight_names", "Adam/iterations:0", "m_0:0", "m_1:0", "m_2:0", "v_0:0",
         "v_1:0", "v_2:0", "vhat_0:0", "vhat_1:0", "vhat_2:0");
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "optimizer_weights/vhat_%d:0", i);
        put(root, path, SHAPE(1), 0);
    }
    read_state(model, root);
    assert_int_equal(optimizer_of(model)->iterations, 7);
    expect_slots(model, 2);
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* Where all shapes are the same, only names tell Adam's pairs from its slots one after the other. */
static void tells_pairs_by_names(void **state) {
    (void)state;
    for (int paired = 0; paired < 2; paired++) {
        cnn_model *model = NULL;
        OK(cnn_sequential_new(&model, NULL));
        add(model, "Dense", "{\"units\": 1, \"use_bias\": false, \"input_shape\": [1], \"name\": \"a\"}");
        add(model, "Dense", "{\"units\": 1, \"use_bias\": false, \"name\": \"b\"}");
        compile(model, "\"adam\"");
        cnn_h5_node *root = tree_new();
        put_integer(root, "optimizer_weights/iteration", 2);
        put(root, "optimizer_weights/a_momentum", SHAPE(1, 1), 1);
        put(root, "optimizer_weights/b_momentum", SHAPE(1, 1), 2);
        put(root, "optimizer_weights/a_velocity", SHAPE(1, 1), 3);
        put(root, "optimizer_weights/b_velocity", SHAPE(1, 1), 4);
        if (paired)
            LIST(root, "optimizer_weights", "weight_names", "iteration", "a_momentum", "a_velocity",
                 "b_momentum", "b_velocity");
        else
            LIST(root, "optimizer_weights", "weight_names", "iteration", "a_momentum", "b_momentum",
                 "a_velocity", "b_velocity");
        read_state(model, root);
        float *const *slots = optimizer_of(model)->slots;
        assert_float_equal(slots[0][0], 1, 0);
        assert_float_equal(slots[1][0], 3, 0);
        assert_float_equal(slots[3][0], 2, 0);
        assert_float_equal(slots[4][0], 4, 0);
        cnn_h5_free(root);
        cnn_model_release(model);
    }
}

/* The file's rate is a float32 of the one in its config. */
static void takes_a_rate_that_differs(void **state) {
    (void)state;
    static const struct {
        double in_file, wanted;
    } cases[] = {{(float)0.1, 0.1}, {0.5, 0.5}, {-1, 0.1}, {NAN, 0.1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_model *model = dense_model("a", 3, "b");
        compile(model, "{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.1}}");
        cnn_h5_node *root = tree_new();
        put_integer(root, "optimizer/vars/0", 3);
        put(root, "optimizer/vars/1", SCALAR, cases[i].in_file);
        read_state(model, root);
        assert_int_equal(optimizer_of(model)->iterations, 3);
        assert_true(optimizer_of(model)->rate == cases[i].wanted);
        cnn_h5_free(root);
        cnn_model_release(model);
    }
}

static void leaves_states_that_do_not_fit(void **state) {
    (void)state;
    cnn_model *model = dense_model("a", 4, "b"), *other = dense_model("a", 3, "b");
    compile(model, "\"adam\"");
    compile(other, "\"rmsprop\"");
    cnn_h5_node *root = tree_new();
    put_state(root, versions[1].steps, versions[1].formats, 2, false);
    expect_state_left(model, root);
    expect_state_left(other, root);
    assert_float_equal(optimizer_of(model)->slots[0][0], 0, 0);
    put_integer(root, "optimizer_weights/Adam/iter:0", -1);
    cnn_model_release(other);
    other = dense_model("a", 3, "b");
    compile(other, "\"adam\"");
    expect_state_left(other, root);
    cnn_h5_free(root);
    cnn_model_release(model);
    cnn_model_release(other);
}

/* ---- files that Keras wrote ------------------------------------------------------------------------------ */

static void read_archive(cnn_h5_node **root, const char *path) {
    cnn_archive *archive = NULL;
    void *bytes = NULL;
    size_t size = 0;
    OK(cnn_archive_open(&archive, path));
    OK(cnn_archive_read(&bytes, &size, archive, cnn_archive_find(archive, "model.weights.h5")));
    OK(cnn_h5_read_bytes(root, path, bytes, size));
    cnn_free(bytes);
    cnn_archive_close(archive);
}

static cnn_h5_node *keras_file(const char *name) {
    const char *data = getenv("CNNLUA_DATA");
    char path[1024];
    snprintf(path, sizeof path, "%s/../keras_models/%s", data ? data : "", name);
    FILE *file = data ? fopen(path, "rb") : NULL;
    if (!file) {
        print_message("skipped: no %s beside CNNLUA_DATA\n", name);
        return NULL;
    }
    fclose(file);
    cnn_h5_node *root = NULL;
    if (strstr(name, ".keras"))
        read_archive(&root, path);
    else
        OK(cnn_h5_read(&root, path));
    return root;
}

static void reads_layers_of_squeezenet(void **state) {
    (void)state;
    cnn_h5_node *root = keras_file("squeezenet_imagenet_notop.h5");
    if (!root) skip();
    cnn_model *model = NULL;
    OK(cnn_sequential_new(&model, NULL));
    add(model, "Conv2D",
        "{\"filters\": 64, \"kernel_size\": 3, \"input_shape\": [9, 9, 3], \"name\": \"conv1\"}");
    add(model, "Conv2D", "{\"filters\": 16, \"kernel_size\": 1, \"name\": \"fire2/squeeze1x1\"}");
    add(model, "Conv2D", "{\"filters\": 5, \"kernel_size\": 1, \"name\": \"top\"}");
    expect_failure(model, root, &strict, CNN_ERROR_SHAPE, "the file has weights for 25 layers");
    read_well(model, root, &by_name);
    const cnn_tensor *kernel = cnn_h5_find(root, "fire2/squeeze1x1/uniform2")->value->tensor;
    cnn_layer *layer = NULL;
    OK(cnn_model_get_layer(&layer, model, "fire2/squeeze1x1"));
    assert_memory_equal(cnn_layer_variable(layer, 0)->value->data, kernel->data, 64 * 16 * sizeof(float));
    cnn_h5_free(root);
    cnn_model_release(model);
}

/* c: Conv2D of as many filters, 3×3 (s: padded, t: 2×2); p: pooling; d: Dense; b: BatchNormalization. */
typedef struct network {
    const char *file, *optimizer, *layers;
} network;

static cnn_model *network_new(const network *n) {
    cnn_model *model = NULL;
    bool flat = false;
    OK(cnn_sequential_new(&model, NULL));
    for (const char *at = n->layers; *at;) {
        char kind = *at, config[160], *end;
        long size = strtol(at + 1, &end, 10);
        if (kind == 'd' && !flat) add(model, "Flatten", NULL);
        flat = flat || kind == 'd';
        if (kind == 'd')
            snprintf(config, sizeof config, "{\"units\": %ld}", size);
        else if (kind == 'p')
            snprintf(config, sizeof config, "{\"pool_size\": %ld}", size);
        else
            snprintf(config, sizeof config, "{\"filters\": %ld, \"kernel_size\": %d, \"padding\": \"%s\"%s}",
                     size, kind == 't' ? 2 : 3, kind == 's' ? "same" : "valid",
                     at == n->layers ? ", \"input_shape\": [28, 28, 1]" : "");
        if (kind == 'b')
            add(model, "BatchNormalization", NULL);
        else
            add(model, kind == 'd' ? "Dense" : kind == 'p' ? "MaxPooling2D" : "Conv2D", config);
        at = *end ? end + 1 : end;
    }
    compile(model, n->optimizer);
    return model;
}

static void reads_models_that_keras_wrote(void **state) {
    (void)state;
    static const network networks[] = {
        {"mnist_conv2_keras3.1.h5", "\"adam\"", "c32 p2 c64 p2 d10"},
        {"mnist_conv2_keras3.1.keras", "\"adam\"", "c32 p2 c64 p2 d10"},
        {"mnist_deep_keras3.13.keras", "\"adam\"", "c32 c32 p2 c64 c64 p2 s128 c128 p2 d10"},
        {"mnist_batchnorm_keras3.13.keras", "\"adam\"", "c32 b c32 p2 c64 b c64 p2 c128 b p2 d128 b d10"},
        {"fashion_dropout_keras3.10.h5", "\"adam\"", "c32 p2 c64 p2 d128 d10"},
        {"mnist_functional_keras2.3.h5", "\"adam\"", "c32 p2 c64 p2 d100 d10"},
        {"mnist_same_keras2.2.h5", "\"rmsprop\"", "s32 s64 p2 s128 s128 p4 d128 d10"},
        {"mnist_sigmoid_keras2.10.h5", "\"adam\"", "c32 p3 t16 p2 d784 d16 d16 d10"}};
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        cnn_h5_node *root = keras_file(networks[i].file);
        if (!root) skip();
        cnn_model *model = network_new(&networks[i]);
        read_well(model, root, &strict);
        read_state(model, root);
        assert_true(optimizer_of(model)->iterations > 0);
        cnn_h5_free(root);
        cnn_model_release(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_keras_2s_groups),
        cmocka_unit_test(orders_a_model_within_by_what_is_trained),
        cmocka_unit_test(numbers_weights_of_one_name),
        cmocka_unit_test(writes_keras_3s_groups),
        cmocka_unit_test(keeps_all_weights),
        cmocka_unit_test(resumes_every_optimizer),
        cmocka_unit_test(orders_slots_as_keras_does),
        cmocka_unit_test(reads_by_order_whatever_the_names),
        cmocka_unit_test(reads_a_whole_models_file),
        cmocka_unit_test(reads_by_name_what_is_there),
        cmocka_unit_test(the_same_names_in_another_order_go_by_name),
        cmocka_unit_test(tells_what_does_not_fit),
        cmocka_unit_test(skips_layers_that_do_not_fit),
        cmocka_unit_test(leaves_whole_numbers_alone),
        cmocka_unit_test(reads_models_within_frozen_or_not),
        cmocka_unit_test(reads_keras_3_without_names),
        cmocka_unit_test(reads_numbers_with_gaps),
        cmocka_unit_test(reads_many_numbers_with_gaps),
        cmocka_unit_test(reads_paths_of_windows),
        cmocka_unit_test(tells_what_keras_3s_file_lacks),
        cmocka_unit_test(survives_nonsense),
        cmocka_unit_test(survives_exhausted_memory),
        cmocka_unit_test(reads_states_of_all_versions),
        cmocka_unit_test(reads_keras_2s_empty_third_slots),
        cmocka_unit_test(tells_pairs_by_names),
        cmocka_unit_test(takes_a_rate_that_differs),
        cmocka_unit_test(leaves_states_that_do_not_fit),
        cmocka_unit_test(reads_layers_of_squeezenet),
        cmocka_unit_test(reads_models_that_keras_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
