/* Ops against the numbers of another framework (tests/oracle): values and gradients, on every instruction
 * set. The oracle speaks in Keras's layers, with their names and arguments; a table says which op each is. */
#include "op_case.h"
#include "oracle.h"

/* One case, in the op's own terms. */
typedef struct oracle_case {
    const char *name, *op;
    cJSON *attributes;
    int n_inputs;
    cnn_tensor *inputs[MOST_INPUTS], *grads[MOST_INPUTS], *output, *grad_output;
    bool values_only; /* the oracle's gradients are of something else */
} oracle_case;

static const struct names {
    const char *layer, *op; /* op NULL: made of other parts, and tested there */
} names[] = {
    {"conv2d", "conv2d"},
    {"dense", "dense"},
    {"max_pooling2d", "max_pool2d"},
    {"average_pooling2d", "avg_pool2d"},
    {"global_max_pooling2d", "global_max_pool2d"},
    {"global_average_pooling2d", "global_avg_pool2d"},
    {"zero_padding2d", "zero_pad2d"},
    {"permute", "transpose"},
    {"exponential", "exp"},
    {"cropping2d", NULL},
    {"up_sampling2d", "upsample2d"},
    {"root_mean_squared_error", NULL},
};

/* The op's name; that of the layer where the table has none. NULL: not an op. */
static const char *op_of(const char *layer) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].layer, layer) == 0) return names[i].op;
    const cnn_op *op;
    return cnn_op_find(&op, layer) == CNN_OK ? layer : NULL;
}

/* {{top, bottom}, {left, right}} */
static void translate_padding(cJSON *attributes) {
    static const char *const sides[] = {"top", "bottom", "left", "right"};
    cJSON *padding = cJSON_DetachItemFromObject(attributes, "padding");
    for (int i = 0; i < 4; i++) {
        int size = cJSON_GetArrayItem(cJSON_GetArrayItem(padding, i / 2), i % 2)->valueint;
        cJSON_AddNumberToObject(attributes, sides[i], size);
    }
    cJSON_Delete(padding);
}

/* dims count a sample's axes from 1: as the axes with the batch do from 0. */
static void translate_dims(cJSON *attributes) {
    cJSON *axes = cJSON_DetachItemFromObject(attributes, "dims");
    cJSON_InsertItemInArray(axes, 0, cJSON_CreateNumber(0));
    cJSON_AddItemToObject(attributes, "axes", axes);
}

/* The oracle's order is y_true, y_pred, and its gradients are of the weighted mean over all values. */
static void translate_loss(oracle_case *c, cnn_tensor *weight) {
    cnn_tensor *y_true = c->inputs[0];
    c->inputs[0] = c->inputs[1];
    c->inputs[1] = y_true;
    cnn_tensor *grad = c->grads[1];
    c->grads[1] = c->grads[0];
    c->grads[0] = grad;
    int64_t samples = c->inputs[0]->shape[0], each = c->output->size / samples;
    cnn_tensor *output = NULL;
    OK(cnn_tensor_new(&output, CNN_FLOAT32, 1, &samples));
    OK(cnn_tensor_new(&c->grad_output, CNN_FLOAT32, 1, &samples));
    for (int64_t n = 0; n < samples; n++) {
        double sum = 0;
        for (int64_t i = 0; i < each; i++) sum += cnn_f32(c->output)[n * each + i];
        cnn_f32(output)[n] = (float)(sum / (double)each);
        cnn_f32(c->grad_output)[n] = (weight ? cnn_f32(weight)[n] : 1.0f) / (float)samples;
    }
    c->values_only = weight && weight->size != samples;
    cnn_tensor_release(c->output);
    cnn_tensor_release(weight);
    c->output = output;
}

static bool is_loss(const char *name) {
    const cnn_op *op;
    OK(cnn_op_find(&op, name));
    for (int i = 0; cnn_losses[i]; i++)
        if (cnn_losses[i] == op) return true;
    return false;
}

/* Add and Multiply take any number of inputs as layers, two as ops. */
static bool too_many(lua_State *L, int at, const char *op) {
    const cnn_op *found;
    OK(cnn_op_find(&found, op));
    lua_getfield(L, at, "inputs");
    int count = (int)lua_rawlen(L, -1);
    lua_pop(L, 1);
    return count > found->max_inputs;
}

/* Reads the case on the top of the stack; false if it is of no op. */
static bool read_case(oracle_case *c, lua_State *L) {
    int at = lua_gettop(L);
    const char *layer = oracle_text(L, at, "op");
    *c = (oracle_case){.name = oracle_text(L, at, "name"), .op = op_of(layer)};
    if (!c->op || too_many(L, at, c->op)) return false;
    lua_getfield(L, at, "attributes");
    c->attributes = oracle_json(L, -1);
    lua_pop(L, 1);
    c->n_inputs = oracle_list(L, at, "inputs", c->inputs, MOST_INPUTS);
    oracle_list(L, at, "grad_inputs", c->grads, MOST_INPUTS);
    c->output = oracle_field(L, at, "output");
    c->grad_output = oracle_field(L, at, "grad_output");
    cJSON_DeleteItemFromObject(c->attributes, "units");
    cJSON_DeleteItemFromObject(c->attributes, "use_bias");
    if (strcmp(layer, "zero_padding2d") == 0) translate_padding(c->attributes);
    if (strcmp(layer, "permute") == 0) translate_dims(c->attributes);
    cJSON_DeleteItemFromObject(c->attributes, "depth_multiplier");
    if (is_loss(c->op)) translate_loss(c, oracle_field(L, at, "sample_weight"));
    return true;
}

static void free_case(oracle_case *c) {
    for (int i = 0; i < MOST_INPUTS; i++) {
        cnn_tensor_release(c->inputs[i]);
        cnn_tensor_release(c->grads[i]);
    }
    cnn_tensor_release(c->output);
    cnn_tensor_release(c->grad_output);
    cJSON_Delete(c->attributes);
}

/* Errors are measured against the largest element: a small one may be the difference of large ones. */
static void compare(const char *name, const char *what, const cnn_tensor *got, const cnn_tensor *want) {
    double largest = 0;
    for (int64_t i = 0; i < want->size; i++)
        if (isfinite(cnn_f32(want)[i])) largest = fmax(largest, fabs(cnn_f32(want)[i]));
    bool same = cnn_same_shape(got, want);
    for (int64_t i = 0; i < want->size && same; i++) {
        double a = cnn_f32(got)[i], b = cnn_f32(want)[i];
        same = a == b || fabs(a - b) <= 1e-5 * largest || (isnan(a) && isnan(b));
        if (!same) print_error("element %d is %.9g, not %.9g\n", (int)i, a, b);
    }
    if (same) return;
    print_error("%s: %s (%s)\n", name, what, cnn_cpu());
    fail();
}

static void check_case(const oracle_case *c) {
    cnn_tensor *inputs[MOST_INPUTS];
    for (int i = 0; i < c->n_inputs; i++) inputs[i] = cnn_tensor_retain(c->inputs[i]);
    char *attributes = cJSON_PrintUnformatted(c->attributes);
    op_run r;
    run_open_with(&r, c->op, attributes, inputs, c->n_inputs);
    free(attributes);
    OK(run_forward(&r));
    compare(c->name, "output", r.output, c->output);
    if (c->grad_output && !c->values_only) {
        memcpy(r.grad_output->data, c->grad_output->data, cnn_tensor_bytes(c->grad_output));
        OK(run_backward(&r));
        for (int i = 0; i < c->n_inputs; i++)
            if (c->grads[i] && r.grads[i]) compare(c->name, "gradient", r.grads[i], c->grads[i]);
    }
    run_close(&r);
}

/* All cases of a file; at least `fewest` must have been ops. */
static void check_file(const char *file, int fewest) {
    lua_State *L = oracle_open(file);
    const char *cpus[4];
    int checked = 0, n_cpus = available_cpus(cpus), count = (int)lua_rawlen(L, -1);
    for (int i = 1; i <= count; i++) {
        oracle_case c;
        lua_rawgeti(L, -1, i);
        if (read_case(&c, L)) {
            for (int k = 0; k < n_cpus; k++) {
                OK(cnn_set_cpu(cpus[k]));
                check_case(&c);
            }
            free_case(&c);
            checked++;
        }
        lua_pop(L, 1);
    }
    lua_close(L);
    if (checked < fewest) print_error("%s: only %d cases of %d are of an op\n", file, checked, count);
    assert_true(checked >= fewest);
}

static void convolutions_agree(void **state) {
    (void)state;
    check_file("conv2d", 20);
    check_file("depthwise_conv2d", 5);
}

static void other_convolutions_and_normalizations_agree(void **state) {
    (void)state;
    check_file("more_ops", 16);
}

static void dense_agrees(void **state) {
    (void)state;
    check_file("dense", 8);
}

static void pooling_agrees(void **state) {
    (void)state;
    check_file("pooling", 40);
}

static void activations_agree(void **state) {
    (void)state;
    check_file("activations", 33);
}

static void shape_ops_and_arithmetic_agree(void **state) {
    (void)state;
    check_file("shapes", 13);
}

static void losses_agree(void **state) {
    (void)state;
    check_file("losses", 31);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree), cmocka_unit_test(other_convolutions_and_normalizations_agree),
        cmocka_unit_test(dense_agrees),       cmocka_unit_test(pooling_agrees),
        cmocka_unit_test(activations_agree),  cmocka_unit_test(shape_ops_and_arithmetic_agree),
        cmocka_unit_test(losses_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
