/* Models as JSON: what each version of Keras wrote is understood, what is written has the words of Keras 2 or 3, all that
 * cannot be built is named at once, and nothing that a file may say does harm. */
#include "tensor_test.h"

#include "base/config.h"
#include "base/status.h"
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- JSON ------------------------------------------------------------------------------------------------ */

/* JSON is written here with ' in place of ". */
static char *quoted(const char *text) {
    char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        if (*c == '\'') *c = '"';
    return copy;
}

static cJSON *parse(const char *text) {
    char *json = quoted(text);
    cJSON *tree = cJSON_Parse(json);
    if (!tree) print_error("not JSON near %.60s\n", cJSON_GetErrorPtr());
    assert_non_null(tree);
    free(json);
    return tree;
}

static cnn_status try_load(cnn_model **out, const char *text) {
    cJSON *spec = parse(text);
    cnn_status status = cnn_model_from_spec(out, spec, NULL, CNN_MOST_WEIGHTS);
    cJSON_Delete(spec);
    return status;
}

static cnn_model *load(const char *text) {
    cnn_model *model = NULL;
    OK(try_load(&model, text));
    return model;
}

static cJSON *spec_of(const cnn_model *model, cnn_keras keras) {
    cJSON *spec = NULL;
    OK(cnn_model_spec_json(&spec, model, keras));
    return spec;
}

static void expect_json(const cJSON *got, const cJSON *want) {
    if (cJSON_Compare(got, want, true)) return;
    char *a = cJSON_PrintUnformatted(got), *b = cJSON_PrintUnformatted(want);
    print_error("got  %s\nwant %s\n", a, b);
    free(a);
    free(b);
    fail();
}

/* ---- data ------------------------------------------------------------------------------------------------ */

static void fill(cnn_tensor *t, uint32_t seed) {
    cnn_random random = {.key = seed};
    cnn_random_uniform(&random, cnn_f32(t), t->size, 0.1f, 0.9f);
}

/* The model's outputs for data that depend on its shapes alone, all weights set by their position. */
static cnn_tensor *answer(cnn_model *model) {
    cnn_tensor *x[4] = {0}, *y[4] = {0};
    cnn_layer *layer = cnn_model_as_layer(model);
    for (int i = 0; i < layer->variable_count; i++) fill(layer->variables[i]->value, (uint32_t)i + 1);
    for (int i = 0; i < model->n_inputs; i++) {
        int64_t shape[CNN_MAX_RANK];
        memcpy(shape, model->inputs[i]->shape, sizeof shape);
        shape[0] = 2;
        OK(cnn_tensor_new(&x[i], CNN_FLOAT32, model->inputs[i]->rank, shape));
        fill(x[i], 77);
    }
    OK(cnn_layer_call_all(y, layer, x, model->n_inputs, false));
    for (int i = 0; i < model->n_inputs; i++) cnn_tensor_release(x[i]);
    for (int i = 1; i < cnn_layer_output_count(layer); i++) cnn_tensor_release(y[i]);
    return y[0];
}

/* ---- what each version wrote ----------------------------------------------------------------------------- */

/* JSON in the shape it has. */
/* clang-format off */

#define LAYER(class, ...) "{'class_name': '" class "', 'config': {" __VA_ARGS__ "}}"
#define SPEC(class, config) "{'class_name': '" class "', 'config': {" config "}}"
#define SCALED SPEC("VarianceScaling", "'scale': 1.0, 'mode': 'fan_avg', 'distribution': 'uniform', 'seed': null")
#define ZEROS SPEC("Zeros", "")
#define ONES SPEC("Ones", "")

/* The arguments of the layers of Keras 2. */
#define CONV_2 \
    "'filters': 3, 'kernel_size': [3, 3], 'strides': [1, 1], 'padding': 'valid', 'data_format': 'channels_last', " \
    "'dilation_rate': [1, 1], 'activation': 'linear', 'trainable': true, " WEIGHTS_2
#define DENSE_2 "'units': 2, 'activation': 'softmax', 'trainable': true, " WEIGHTS_2
#define WEIGHTS_2 \
    "'use_bias': true, 'kernel_initializer': " SCALED ", 'bias_initializer': " ZEROS ", " \
    "'kernel_regularizer': null, 'bias_regularizer': null, 'activity_regularizer': null, " \
    "'kernel_constraint': null, 'bias_constraint': null"
#define NORM_2 \
    "'momentum': 0.99, 'epsilon': 0.001, 'center': true, 'scale': true, 'trainable': true, " \
    "'beta_initializer': " ZEROS ", 'gamma_initializer': " ONES ", " \
    "'moving_mean_initializer': " ZEROS ", 'moving_variance_initializer': " ONES ", " \
    "'beta_regularizer': null, 'gamma_regularizer': null, 'beta_constraint': null, 'gamma_constraint': null"
#define POOL_2 "'pool_size': [2, 2], 'padding': 'valid', 'strides': [2, 2], 'data_format': 'channels_last'"

/* And of Keras 3. */
#define TYPE_3 \
    "{'module': 'keras', 'class_name': 'DTypePolicy', 'config': {'name': 'float32'}, 'registered_name': null}"
#define SHARED_TYPE_3 \
    "{'module': 'keras', 'class_name': 'DTypePolicy', 'config': {'name': 'float32'}, 'registered_name': null, " \
    "'shared_object_id': 99}"
#define INITIALIZER_3(class, config) \
    "{'module': 'keras.initializers', 'class_name': '" class "', 'config': {" config "}, 'registered_name': null}"
#define LAYER_3(class, name, ...) \
    "{'module': 'keras.layers', 'class_name': '" class "', 'registered_name': null, 'config': {'name': '" name "', " \
    "'trainable': true, 'dtype': " SHARED_TYPE_3 ", " __VA_ARGS__ "}, 'build_config': {'input_shape': [null, 1]}}"

/* The same network, a picture of 8×8 through Conv2D, BatchNormalization, LeakyReLU, pooling, Dropout and Dense. */
static const char *const sequentials[][2] = {
    {"Keras 2.2.0: a bare list, no input layer",
     "{'class_name': 'Sequential', 'config': ["
     LAYER("Conv2D", "'name': 'conv', 'batch_input_shape': [null, 8, 8, 1], 'dtype': 'float32', " CONV_2) ", "
     LAYER("BatchNormalization", "'name': 'norm', 'axis': -1, " NORM_2) ", "
     LAYER("LeakyReLU", "'name': 'leaky', 'trainable': true, 'alpha': 0.30000001192092896") ", "
     LAYER("MaxPooling2D", "'name': 'pool', 'trainable': true, " POOL_2) ", "
     LAYER("Dropout", "'name': 'drop', 'trainable': true, 'rate': 0.25, 'noise_shape': null, 'seed': null") ", "
     LAYER("Flatten", "'name': 'flat', 'trainable': true, 'data_format': 'channels_last'") ", "
     LAYER("Dense", "'name': 'dense', " DENSE_2)
     "]}"},
    {"tf.keras 2.0: dtypes within initializers, an older class name, build_input_shape",
     "{'class_name': 'Sequential', 'config': {'name': 'net', 'layers': ["
     LAYER("Conv2D", "'name': 'conv', 'dtype': 'float32', 'filters': 3, 'kernel_size': [3, 3], 'use_bias': true, "
           "'kernel_initializer': " SPEC("GlorotUniform", "'seed': null, 'dtype': 'float32'") ", "
           "'bias_initializer': " SPEC("Zeros", "'dtype': 'float32'")) ", "
     LAYER("BatchNormalizationV1", "'name': 'norm', 'dtype': 'float32', 'axis': [3], " NORM_2) ", "
     LAYER("LeakyReLU", "'name': 'leaky', 'dtype': 'float32', 'alpha': 0.3") ", "
     LAYER("MaxPooling2D", "'name': 'pool', 'dtype': 'float32', " POOL_2) ", "
     LAYER("Dropout", "'name': 'drop', 'rate': 0.25, 'noise_shape': null, 'seed': null") ", "
     LAYER("Flatten", "'name': 'flat'") ", "
     LAYER("Dense", "'name': 'dense', " DENSE_2)
     "], 'build_input_shape': {'class_name': 'TensorShape', 'items': [null, 8, 8, 1]}}}"},
    {"tf.keras 2.10: an input layer, policies, leftovers, a later layer's batch_input_shape",
     "{'class_name': 'Sequential', 'config': {'name': 'net', 'layers': ["
     LAYER("InputLayer", "'batch_input_shape': [null, 8, 8, 1], 'dtype': 'float32', 'sparse': false, "
           "'ragged': false, 'name': 'conv_input'") ", "
     LAYER("Conv2D", "'name': 'conv', 'dtype': " SPEC("Policy", "'name': 'mixed_float16'") ", 'groups': 1, " CONV_2) ", "
     LAYER("BatchNormalization", "'name': 'norm', 'dtype': 'float32', 'axis': [3], 'renorm': false, 'fused': true, "
           "'virtual_batch_size': null, " NORM_2) ", "
     LAYER("LeakyReLU", "'name': 'leaky', 'dtype': 'float32', 'alpha': 0.3") ", "
     LAYER("MaxPooling2D", "'name': 'pool', 'dtype': 'float32', " POOL_2) ", "
     LAYER("Dropout", "'name': 'drop', 'dtype': 'float32', 'rate': 0.25, 'noise_shape': null, 'seed': null") ", "
     LAYER("Flatten", "'name': 'flat', 'dtype': 'float32', 'data_format': 'channels_last'") ", "
     LAYER("Dense", "'name': 'dense', 'dtype': 'float32', 'batch_input_shape': [null, 7], " DENSE_2)
     "]}}"},
    {"Keras 3.13: policies, modules, functions and seeds as objects, build_input_shape without an input layer",
     "{'module': 'keras', 'class_name': 'Sequential', 'registered_name': null, "
     "'config': {'name': 'net', 'trainable': true, 'dtype': " SHARED_TYPE_3 ", 'layers': ["
     LAYER_3("Conv2D", "conv", "'filters': 3, 'kernel_size': [3, 3], 'groups': 1, 'use_bias': true, 'activation': "
             "{'module': 'builtins', 'class_name': 'function', 'config': 'linear', 'registered_name': 'function'}, "
             "'kernel_initializer': " INITIALIZER_3("GlorotUniform", "'seed': {'module': 'keras.random', "
             "'class_name': 'SeedGenerator', 'config': {'name': 's', 'seed': 7}}") ", "
             "'bias_initializer': " INITIALIZER_3("Zeros", "")) ", "
     LAYER_3("BatchNormalization", "norm", "'axis': -1, 'momentum': 0.99, 'epsilon': 0.001, 'synchronized': false, "
             "'renorm': false, 'renorm_clipping': null, 'renorm_momentum': 0.99") ", "
     LAYER_3("LeakyReLU", "leaky", "'negative_slope': 0.3") ", "
     LAYER_3("MaxPooling2D", "pool", POOL_2) ", "
     LAYER_3("Dropout", "drop", "'rate': 0.25, 'seed': null, 'noise_shape': null") ", "
     LAYER_3("Flatten", "flat", "'data_format': 'channels_last'") ", "
     LAYER_3("Dense", "dense", "'units': 2, 'activation': 'softmax', 'lora_rank': null, 'quantization_config': null")
     "], 'build_input_shape': [null, 8, 8, 1]}, 'build_config': {'input_shape': [null, 8, 8, 1]}, "
     "'compile_config': {'optimizer': 'adam'}}"}};

/* clang-format on */

static void expect_same_answers(const char *const specs[][2], size_t count) {
    cnn_tensor *first = NULL;
    for (size_t i = 0; i < count; i++) {
        cnn_model *model = load(specs[i][1]);
        cnn_tensor *y = answer(model);
        bool equal = true;
        if (first) OK(cnn_allclose(&equal, y, first, 1e-6, 1e-6));
        if (!equal) print_error("%s\n", specs[i][0]);
        assert_true(equal);
        if (first)
            cnn_tensor_release(y);
        else
            first = y;
        cnn_model_release(model);
    }
    cnn_tensor_release(first);
}

static void sequentials_of_all_versions_are_the_same(void **state) {
    (void)state;
    expect_same_answers(sequentials, sizeof sequentials / sizeof *sequentials);
}

/* clang-format off */

/* A layer in a functional model of Keras 2 or 3, with the arguments beside its name and its calls. */
#define NODE(class, name, config, calls) \
    "{'class_name': '" class "', 'name': '" name "', 'config': {'name': '" name "'" config "}, " \
    "'inbound_nodes': [" calls "]}"
#define INPUT(name) NODE("InputLayer", name, ", 'batch_input_shape': [null, 4], 'dtype': 'float32'", "")
#define NODE_3(class, name, config, calls) \
    "{'module': 'keras.layers', 'registered_name': null, 'class_name': '" class "', 'name': '" name "', " \
    "'config': {'name': '" name "'" config "}, 'inbound_nodes': [" calls "]}"
#define INPUT_3(name) \
    NODE_3("InputLayer", name, ", 'batch_shape': [null, 4], 'dtype': 'float32', 'optional': false", "")
#define TENSOR_3(name, call, output) \
    "{'class_name': '__keras_tensor__', 'config': {'shape': [null, 4], 'dtype': 'float32', " \
    "'keras_history': ['" name "', " #call ", " #output "]}}"
#define CALL_3(tensors) "{'args': [" tensors "], 'kwargs': {}}"
/* A model, as a layer of another, from its layers on. */
#define MODEL(class, name, layers, inputs, outputs) \
    "{'class_name': '" class "', 'name': '" name "', 'config': {'name': '" name "', 'layers': [" layers "], " \
    "'input_layers': [" inputs "], 'output_layers': [" outputs "]}"

/* Two inputs through one shared Dense, a model within the model called on each result, joined; two outputs. */
static const char *const functionals[][2] = {
    {"Keras 2.3: class Model; the call that made a model counts",
     MODEL("Model", "net",
           INPUT("a") ", "
           INPUT("b") ", "
           NODE("Dense", "shared", ", 'units': 4, 'activation': 'tanh'", "[['a', 0, 0, {}]], [['b', 0, 0, {}]]") ", "
           MODEL("Model", "inner",
                 INPUT("x") ", "
                 NODE("Dense", "within", ", 'units': 2", "[['x', 0, 0, {}]]"),
                 "['x', 0, 0]", "['within', 0, 0]")
           ", 'inbound_nodes': [[['shared', 0, 0, {}]], [['shared', 1, 0, {}]]]}, "
           NODE("Subtract", "join", "", "[['inner', 1, 0, {}], ['inner', 2, 0, {}]]"),
           "['a', 0, 0], ['b', 0, 0]", "['join', 0, 0], ['inner', 2, 0]") "}"},
    {"tf.keras 2.10: class Functional, calls flattened, layers in another order",
     MODEL("Functional", "net",
           NODE("Subtract", "join", "", "[['inner', 1, 0, {}], ['inner', 2, 0, {}]]") ", "
           INPUT("a") ", "
           INPUT("b") ", "
           NODE("Dense", "shared", ", 'units': 4, 'activation': 'tanh'",
                "['a', 0, 0, {'training': null}], ['b', 0, 0, {'mask': null}]") ", "
           MODEL("Functional", "inner",
                 INPUT("x") ", "
                 NODE("Dense", "within", ", 'units': 2", "[['x', 0, 0, {}]]"),
                 "['x', 0, 0]", "['within', 0, 0]")
           ", 'inbound_nodes': [[['shared', 0, 0, {}]], [['shared', 1, 0, {}]]]}",
           "['a', 0, 0], ['b', 0, 0]", "['join', 0, 0], ['inner', 2, 0]") "}"},
    {"Keras 3: tensors as objects, the call that made a model counts in outputs alone, inputs by name",
     "{'module': 'keras.src.models.functional', 'class_name': 'Functional', 'registered_name': 'Functional', "
     "'config': {'name': 'net', 'trainable': true, 'layers': ["
     INPUT_3("a") ", "
     INPUT_3("b") ", "
     NODE_3("Dense", "shared", ", 'units': 4, 'activation': 'tanh'",
            CALL_3(TENSOR_3("a", 0, 0)) ", {'args': [" TENSOR_3("b", 0, 0) "], 'kwargs': {'mask': null}}") ", "
     "{'module': 'keras.src.models.functional', 'class_name': 'Functional', 'registered_name': 'Functional', "
     "'name': 'inner', 'config': {'name': 'inner', 'layers': ["
     INPUT_3("x") ", "
     NODE_3("Dense", "within", ", 'units': 2", CALL_3(TENSOR_3("x", 0, 0)))
     "], 'input_layers': ['x', 0, 0], 'output_layers': ['within', 0, 0]}, 'build_config': {'input_shape': null}, "
     "'inbound_nodes': [" CALL_3(TENSOR_3("shared", 0, 0)) ", " CALL_3(TENSOR_3("shared", 1, 0)) "]}, "
     NODE_3("Subtract", "join", "", CALL_3("[" TENSOR_3("inner", 0, 0) ", " TENSOR_3("inner", 1, 0) "]"))
     "], 'input_layers': {'first': ['a', 0, 0], 'second': ['b', 0, 0]}, "
     "'output_layers': [['join', 0, 0], ['inner', 2, 0]]}}"}};

/* clang-format on */

static void functionals_of_all_versions_are_the_same(void **state) {
    (void)state;
    expect_same_answers(functionals, sizeof functionals / sizeof *functionals);
}

static void the_order_of_layers_is_the_files(void **state) {
    (void)state;
    cnn_model *model = load(functionals[1][1]);
    assert_string_equal(cnn_layer_name(cnn_model_layer(model, 0)), "join");
    assert_string_equal(cnn_layer_name(cnn_model_layer(model, 3)), "shared");
    assert_int_equal(cnn_model_layer_count(model), 5);
    assert_ptr_equal(cnn_layer_variable(cnn_model_as_layer(model), 0),
                     cnn_layer_variable(cnn_model_layer(model, 3), 0));
    cnn_model_release(model);
}

/* ---- arguments of layers --------------------------------------------------------------------------------- */

/* A model of one layer. */
static cnn_status load_layer(cnn_model **out, const char *class, const char *config, const char *shape) {
    char text[4096];
    snprintf(
        text, sizeof text,
        "{'class_name': 'Sequential', 'config': {'name': 'net', 'layers': [{'class_name': '%s', 'config': "
        "{'name': 'it', 'batch_input_shape': [null, %s]%s%s}}]}}",
        class, shape, *config ? ", " : "", config);
    return try_load(out, text);
}

static void leftovers_of_all_versions_are_taken(void **state) {
    static const char *const cases[][3] = {
        {"DepthwiseConv2D", "'kernel_size': [2, 2], 'groups': 1, 'filters': null, 'dilation_rate': [1, 1]",
         "4, 4, 2"},
        {"SeparableConv2D",
         "'filters': 2, 'kernel_size': 2, 'groups': 1, 'kernel_initializer': " SCALED ", "
         "'kernel_regularizer': null, 'kernel_constraint': null",
         "4, 4, 2"},
        {"Conv2DTranspose", "'filters': 2, 'kernel_size': 2, 'groups': 1, 'output_padding': null", "4, 4, 2"},
        {"SpatialDropout2D", "'rate': 0.5, 'noise_shape': null, 'seed': null, 'trainable': true", "4, 4, 2"},
        {"SpatialDropout1D", "'rate': 0.5, 'noise_shape': null", "4, 2"},
        {"LayerNormalization", "'axis': [2], 'rms_scaling': false", "4, 2"},
        {"Dense", "'units': 2, 'input_dtype': 'float32', 'dynamic': true, 'dtype': 'bfloat16'", "4"},
        {"Dense",
         "'units': 2, 'kernel_regularizer': {'class_name': 'L1L2', 'config': {'l1': 0.0, 'l2': 0.0005}}",
         "4"},
        {"Dense",
         "'units': 2, 'kernel_initializer': {'class_name': 'VarianceScaling', 'config': {'scale': 2.0, "
         "'mode': "
         "'fan_in', 'distribution': 'normal', 'seed': null}}",
         "4"},
        {"Dense",
         "'units': 2, 'kernel_initializer': {'class_name': 'RandomUniform', 'config': {'minval': -0.05, "
         "'maxval': 0.05, 'seed': null, 'dtype': 'float32'}}",
         "4"},
        {"Flatten", "'activity_regularizer': null, 'autocast': true", "4, 2"},
        {"UpSampling2D", "'size': [2, 2], 'data_format': 'channels_last'", "4, 4, 2"},
        {"ReLU", "'max_value': {'class_name': '__numpy__', 'config': {'value': 6.0, 'dtype': 'float32'}}",
         "4"},
        {"Softmax", "'axis': [-1]", "4"},
        {"GlobalAveragePooling2D", "'data_format': null", "4, 4, 2"},
        {"MaxPooling1D", "'strides': [2], 'pool_size': {'class_name': '__tuple__', 'items': [2]}", "4, 2"},
        {"PReLU", "'shared_axes': null, 'alpha_initializer': 'zeros'", "4"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_model *model = NULL;
        OK(load_layer(&model, cases[i][0], cases[i][1], cases[i][2]));
        cnn_model_release(model);
    }
}

static void what_cannot_be_honoured_is_refused(void **state) {
    static const char *const cases[][4] = {
        {"Dense", "'units': 2, 'kernel_constraint': {'class_name': 'MaxNorm', 'config': {}}", "4",
         "layer 1 'it' (Dense): Dense: 'kernel_constraint' is not supported"},
        {"Flatten", "'activity_regularizer': {'class_name': 'L1', 'config': {}}", "4, 2",
         "Flatten: 'activity_regularizer' is not supported"},
        {"BatchNormalization", "'renorm': true", "4", "BatchNormalization: 'renorm' is not supported"},
        {"BatchNormalization", "'virtual_batch_size': 4", "4", "'virtual_batch_size' is not supported"},
        {"LayerNormalization", "'rms_scaling': true", "4", "'rms_scaling' is not supported"},
        {"Conv2DTranspose", "'filters': 2, 'kernel_size': 2, 'groups': 2", "4, 4, 2",
         "'groups' must be between 1 and 1"},
        {"Conv2D", "'filters': 2, 'kernel_size': 2, 'data_format': 'channels_first'", "4, 4, 2",
         "'data_format'"},
        {"Dense", "'units': 2, 'dtype': 'int8'", "4", "Dense: 'dtype': expected one of float32"},
        {"Dense", "'units': 2, 'dtype': {'class_name': 'QuantizedDTypePolicy', 'config': {'mode': 'int8'}}",
         "4", "'dtype'"},
        {"Dense", "'units': 2, 'lora_rank': 4", "4", "'lora_rank' is not supported"},
        {"Dense", "'units': 2, 'kernel_initializer': {'class_name': 'Orthogonal', 'config': {'gain': 1.0}}",
         "4", "Dense: 'kernel_initializer': unknown initializer 'Orthogonal'"},
        {"Dense", "'units': 2, 'activation': 'mystery'", "4", "Dense: 'activation': unknown"},
        {"Dense", "'units': 2, 'mystery': 4", "4", "Dense: unknown argument 'mystery'"},
        {"UpSampling2D", "'interpolation': 'lanczos3'", "4, 4, 2", "'interpolation' must be one of"},
        {"Softmax", "'axis': [1, 2]", "4, 2", "'axis' must be one whole number"},
        {"Dropout", "'rate': 0.5, 'noise_shape': [1, 2]", "4", "'noise_shape' is not supported"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_model *model = NULL;
        assert_fails(load_layer(&model, cases[i][0], cases[i][1], cases[i][2]), CNN_ERROR_ARGUMENT,
                     cases[i][3]);
        assert_null(model);
    }
}

/* Of x = -2, 0.5, 7. */
static void activations_may_be_layers(void **state) {
    static const struct {
        const char *spec;
        double y[3];
    } cases[] = {
        {"null", {-2, 0.5, 7}},
        {"'linear'", {-2, 0.5, 7}},
        {"'relu6'", {0, 0.5, 6}},
        {"{'module': 'builtins', 'class_name': 'function', 'config': 'relu', 'registered_name': 'function'}",
         {0, 0.5, 7}},
        {"{'class_name': 'ReLU', 'config': {'name': 're_lu', 'trainable': true, 'dtype': 'float32', "
         "'max_value': 6.0, "
         "'negative_slope': 0.5, 'threshold': 0.0}}",
         {-1, 0.5, 6}},
        {"{'class_name': 'LeakyReLU', 'config': {'name': 'leaky_re_lu', 'trainable': true, 'alpha': 0.1}}",
         {-0.2, 0.5, 7}},
        {"{'module': 'keras.layers', 'class_name': 'LeakyReLU', 'config': {'negative_slope': 0.25, "
         "'dtype': " TYPE_3 "}, 'registered_name': null}",
         {-0.5, 0.5, 7}},
        {"'leaky_relu'", {-0.4, 0.5, 7}},
        {"{'class_name': 'ELU', 'config': {'alpha': 2.0}}", {2 * (0.1353352832366127 - 1), 0.5, 7}}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int keras = CNN_KERAS_NONE; keras <= CNN_KERAS_3; keras++) {
            char config[512];
            cnn_model *model = NULL;
            snprintf(config, sizeof config, "'activation': %s", cases[i].spec);
            OK(load_layer(&model, "Activation", config, "3"));
            if (keras != CNN_KERAS_NONE) { /* and as it is written */
                cJSON *spec = spec_of(model, (cnn_keras)keras);
                cnn_model_release(model);
                OK(cnn_model_from_spec(&model, spec, NULL, CNN_MOST_WEIGHTS));
                cJSON_Delete(spec);
            }
            cnn_tensor *x = TENSOR(CNN_FLOAT32, SHAPE(1, 3), -2, 0.5, 7), *y = NULL;
            OK(cnn_layer_call(&y, cnn_model_as_layer(model), &x, 1, false));
            for (int k = 0; k < 3; k++) assert_float_equal(cnn_f32(y)[k], cases[i].y[k], 1e-5);
            cnn_tensor_release(x);
            cnn_tensor_release(y);
            cnn_model_release(model);
        }
    }
}

/* ---- what is written ------------------------------------------------------------------------------------- */

/* clang-format off */

static const char mixed[] =
    MODEL("Functional", "net",
          NODE("InputLayer", "picture", ", 'batch_input_shape': [null, 8, 8, 2]", "") ", "
          NODE("Conv2D", "conv", ", 'filters': 4, 'kernel_size': 2, 'activation': 'swish', 'kernel_regularizer': 'l2'",
               "[['picture', 0, 0, {}]]") ", "
          NODE("DepthwiseConv2D", "depth", ", 'kernel_size': 2", "[['conv', 0, 0, {}]]") ", "
          NODE("BatchNormalization", "norm", ", 'axis': [3]", "[['depth', 0, 0, {'training': false}]]") ", "
          NODE("LeakyReLU", "leaky", ", 'alpha': 0.5", "[['norm', 0, 0, {}]]") ", "
          NODE("Cropping2D", "crop", ", 'cropping': 1", "[['leaky', 0, 0, {}]]") ", "
          NODE("Conv2DTranspose", "wide", ", 'filters': 4, 'kernel_size': 3", "[['crop', 0, 0, {}]]") ", "
          NODE("SpatialDropout2D", "drop", ", 'rate': 0.5", "[['wide', 0, 0, {}]]") ", "
          NODE("Add", "sum", "", "[['drop', 0, 0, {}], ['norm', 0, 0, {}]]") ", "
          NODE("Reshape", "flat", ", 'target_shape': [-1]", "[['sum', 0, 0, {}]]") ", "
          "{'class_name': 'Sequential', 'name': 'head', 'config': {'name': 'head', 'layers': ["
          LAYER("InputLayer", "'batch_input_shape': [null, 144], 'name': 'rows'") ", "
          LAYER("Dense", "'name': 'dense', 'units': 2, 'activation': " SPEC("LeakyReLU", "'alpha': 0.2"))
          "]}, 'inbound_nodes': [[['flat', 0, 0, {}]]]}",
          "['picture', 0, 0]", "['head', 1, 0], ['norm', 0, 0]") "}";

/* clang-format on */

static void what_is_written_is_read_as_it_was(void **state) {
    const char *const specs[] = {sequentials[0][1], sequentials[3][1], functionals[0][1], functionals[2][1],
                                 mixed};
    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        cnn_model *model = load(specs[i]);
        cnn_tensor *want = answer(model);
        for (cnn_keras keras = CNN_KERAS_2; keras <= CNN_KERAS_3; keras++) {
            cJSON *spec = spec_of(model, keras);
            cnn_model *again = NULL;
            OK(cnn_model_from_spec(&again, spec, NULL, CNN_MOST_WEIGHTS));
            cJSON *written = spec_of(again, keras);
            expect_json(written, spec);
            cnn_tensor *got = answer(again);
            bool equal = false;
            OK(cnn_allclose(&equal, got, want, 1e-6, 1e-6));
            assert_true(equal);
            cnn_tensor_release(got);
            cJSON_Delete(written);
            cJSON_Delete(spec);
            cnn_model_release(again);
        }
        cnn_tensor_release(want);
        cnn_model_release(model);
    }
}

static void expect_written(const cnn_model *model, cnn_keras keras, const char *text) {
    cJSON *got = spec_of(model, keras), *want = parse(text);
    expect_json(got, want);
    cJSON_Delete(got);
    cJSON_Delete(want);
}

/* clang-format off */

static const char small[] =
    "{'class_name': 'Sequential', 'config': {'name': 'net', 'layers': ["
    LAYER("Dense", "'name': 'dense', 'units': 2, 'batch_input_shape': [null, 3], 'kernel_initializer': 'he_normal', "
          "'kernel_regularizer': 'l2'") ", "
    LAYER("LeakyReLU", "'name': 'leaky', 'negative_slope': 0.5") ", "
    LAYER("BatchNormalization", "'name': 'norm'") "]}}";

static const char small_2[] =
    "{'class_name': 'Sequential', 'config': {'name': 'net', 'layers': ["
    LAYER("InputLayer", "'batch_input_shape': [null, 3], 'dtype': 'float32', 'sparse': false, 'ragged': false, "
          "'name': 'dense_input'") ", "
    LAYER("Dense", "'name': 'dense', 'trainable': true, 'dtype': 'float32', 'units': 2, 'activation': 'linear', "
          "'use_bias': true, 'kernel_initializer': " SPEC("HeNormal", "'seed': null") ", 'bias_initializer': " ZEROS ", "
          "'kernel_regularizer': " SPEC("L2", "'l2': 0.01") ", 'bias_regularizer': null, 'activity_regularizer': null, "
          "'kernel_constraint': null, 'bias_constraint': null") ", "
    LAYER("LeakyReLU", "'name': 'leaky', 'trainable': true, 'dtype': 'float32', 'alpha': 0.5") ", "
    LAYER("BatchNormalization", "'name': 'norm', 'dtype': 'float32', 'axis': -1, " NORM_2) "]}}";

#define WRITTEN_3(class, name, config, rest) \
    "{'module': 'keras.layers', 'class_name': '" class "', 'config': {'name': '" name "', 'trainable': true, " \
    "'dtype': " TYPE_3 ", " config "}, 'registered_name': null" rest "}"

static const char small_3[] =
    "{'module': 'keras', 'class_name': 'Sequential', 'registered_name': null, "
    "'build_config': {'input_shape': [null, 3]}, 'config': {'name': 'net', 'trainable': true, 'dtype': " TYPE_3 ", "
    "'build_input_shape': [null, 3], 'layers': ["
    "{'module': 'keras.layers', 'class_name': 'InputLayer', 'registered_name': null, 'config': {'name': 'input_layer', "
    "'batch_shape': [null, 3], 'dtype': 'float32', 'sparse': false, 'ragged': false}}, "
    WRITTEN_3("Dense", "dense", "'units': 2, 'activation': 'linear', 'use_bias': true, "
              "'kernel_initializer': " INITIALIZER_3("HeNormal", "'seed': null") ", "
              "'bias_initializer': " INITIALIZER_3("Zeros", "") ", 'kernel_regularizer': {'module': "
              "'keras.regularizers', 'class_name': 'L2', 'config': {'l2': 0.01}, 'registered_name': null}, "
              "'bias_regularizer': null, 'kernel_constraint': null, 'bias_constraint': null",
              ", 'build_config': {'input_shape': [null, 3]}") ", "
    WRITTEN_3("LeakyReLU", "leaky", "'negative_slope': 0.5", "") ", "
    WRITTEN_3("BatchNormalization", "norm", "'axis': -1, 'momentum': 0.99, 'epsilon': 0.001, 'center': true, "
              "'scale': true, 'synchronized': false, 'beta_initializer': " INITIALIZER_3("Zeros", "") ", "
              "'gamma_initializer': " INITIALIZER_3("Ones", "") ", 'moving_mean_initializer': "
              INITIALIZER_3("Zeros", "") ", 'moving_variance_initializer': " INITIALIZER_3("Ones", "") ", "
              "'beta_regularizer': null, 'gamma_regularizer': null, 'beta_constraint': null, 'gamma_constraint': null",
              ", 'build_config': {'input_shape': [null, 2]}")
    "]}}";

/* clang-format on */

static void the_words_are_those_of_each_keras(void **state) {
    (void)state;
    cnn_model *model = load(small);
    expect_written(model, CNN_KERAS_2, small_2);
    expect_written(model, CNN_KERAS_3, small_3);
    cnn_model_release(model);
}

/* The constructors of Keras fail on words they do not know. */
static void words_that_not_all_versions_know_are_left_out(void **state) {
    static const struct {
        const char *class, *config, *shape, *word;
        bool in_2, in_3;
    } cases[] = {
        {"Conv2DTranspose", "'filters': 2, 'kernel_size': 2", "4, 4, 2", "output_padding", false, false},
        {"Conv2DTranspose", "'filters': 2, 'kernel_size': 2, 'strides': 2, 'output_padding': 1", "4, 4, 2",
         "output_padding", true, true},
        {"Conv2DTranspose", "'filters': 2, 'kernel_size': 2", "4, 4, 2", "groups", false, false},
        {"DepthwiseConv2D", "'kernel_size': 2", "4, 4, 2", "groups", false, false},
        {"SeparableConv2D", "'filters': 2, 'kernel_size': 2", "4, 4, 2", "kernel_initializer", false, false},
        {"Conv2D", "'filters': 2, 'kernel_size': 2", "4, 4, 2", "groups", true, true},
        {"Conv2D", "'filters': 2, 'kernel_size': 2", "4, 4, 2", "lora_rank", false, false},
        {"Dense", "'units': 2", "4", "quantization_config", false, false},
        {"Dense", "'units': 2", "4", "activity_regularizer", true, false},
        {"Dense", "'units': 2", "4", "batch_input_shape", false, false},
        {"BatchNormalization", "", "4", "synchronized", false, true},
        {"BatchNormalization", "'fused': true", "4", "fused", false, false},
        {"LayerNormalization", "", "4", "rms_scaling", false, false},
        {"LeakyReLU", "", "4", "alpha", true, false},
        {"LeakyReLU", "", "4", "negative_slope", false, true},
        {"SpatialDropout1D", "'rate': 0.5", "4, 2", "trainable", false, false},
        {"SpatialDropout1D", "'rate': 0.5", "4, 2", "noise_shape", false, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_model *model = NULL;
        OK(load_layer(&model, cases[i].class, cases[i].config, cases[i].shape));
        for (cnn_keras keras = CNN_KERAS_2; keras <= CNN_KERAS_3; keras++) {
            cJSON *spec = spec_of(model, keras);
            const cJSON *layers = cJSON_GetObjectItem(cJSON_GetObjectItem(spec, "config"), "layers");
            const cJSON *config = cJSON_GetObjectItem(cJSON_GetArrayItem(layers, 1), "config");
            bool there = cJSON_GetObjectItem(config, cases[i].word);
            if (there != (keras == CNN_KERAS_2 ? cases[i].in_2 : cases[i].in_3))
                fail_msg("%s: %s in Keras %d", cases[i].class, cases[i].word, keras + 1);
            cJSON_Delete(spec);
        }
        cnn_model_release(model);
    }
}

static void calls_are_told_in_both_ways(void **state) {
    (void)state;
    cnn_model *model = load(mixed);
    cJSON *spec = spec_of(model, CNN_KERAS_2);
    const cJSON *layers = cJSON_GetObjectItem(cJSON_GetObjectItem(spec, "config"), "layers");
    cJSON *want = parse("[[['depth', 0, 0, {'training': false}]]]");
    expect_json(cJSON_GetObjectItem(cJSON_GetArrayItem(layers, 3), "inbound_nodes"), want);
    cJSON_Delete(want);
    want = parse("[['head', 1, 0], ['norm', 0, 0]]");
    expect_json(cJSON_GetObjectItem(cJSON_GetObjectItem(spec, "config"), "output_layers"), want);
    cJSON_Delete(want);
    cJSON_Delete(spec);
    spec = spec_of(model, CNN_KERAS_3);
    layers = cJSON_GetObjectItem(cJSON_GetObjectItem(spec, "config"), "layers");
    want = parse("[{'args': [{'class_name': '__keras_tensor__', 'config': {'shape': [null, 6, 6, 4], "
                 "'dtype': 'float32', "
                 "'keras_history': ['depth', 0, 0]}}], 'kwargs': {'training': false}}]");
    expect_json(cJSON_GetObjectItem(cJSON_GetArrayItem(layers, 3), "inbound_nodes"), want);
    cJSON_Delete(want);
    want = parse("{'input_shape': [[null, 6, 6, 4], [null, 6, 6, 4]]}");
    expect_json(cJSON_GetObjectItem(cJSON_GetArrayItem(layers, 8), "build_config"), want);
    cJSON_Delete(want);
    cJSON_Delete(spec);
    cnn_model_release(model);
}

/* ---- training = false ------------------------------------------------------------------------------------ */

/* clang-format off */

/* BatchNormalization and Dropout, within a model or not, their calls' arguments to be filled in. */
static const char *const disturbing[] = {
    MODEL("Functional", "net",
          INPUT("x") ", "
          NODE("BatchNormalization", "norm", "", "[['x', 0, 0, {%s}]]") ", "
          NODE("Dropout", "drop", ", 'rate': 0.9", "[['norm', 0, 0, {%s}]]") ", "
          NODE("Dense", "dense", ", 'units': 2", "[['drop', 0, 0, {}]]"),
          "['x', 0, 0]", "['dense', 0, 0]") "}",
    MODEL("Functional", "net",
          INPUT("x") ", "
          "{'class_name': 'Sequential', 'name': 'base', 'config': {'name': 'base', 'layers': ["
          LAYER("InputLayer", "'batch_input_shape': [null, 4]") ", "
          LAYER("BatchNormalization", "'name': 'norm'") ", "
          LAYER("Dropout", "'name': 'drop', 'rate': 0.9")
          "]}, 'inbound_nodes': [[['x', 0, 0, {%s}]]]}, "
          NODE("Dense", "dense", ", 'units': 2", "[['base', 1, 0, {}]]"),
          "['x', 0, 0]", "['dense', 0, 0]") "}"};

/* clang-format on */

static void calls_may_stay_as_in_inference(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        char text[2048];
        bool inference = i % 2;
        const char *keyword = inference ? "'training': false" : "";
        snprintf(text, sizeof text, disturbing[i / 2], keyword, keyword);
        cnn_model *model = load(text);
        OK(cnn_model_compile(model,
                             "{\"optimizer\": {\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0}}, "
                             "\"loss\": \"mse\"}"));
        cnn_tensor *x = NULL, *y = NULL;
        OK(cnn_tensor_new(&x, CNN_FLOAT32, SHAPE(32, 4)));
        OK(cnn_tensor_new(&y, CNN_FLOAT32, SHAPE(32, 2)));
        fill(x, 3);
        double trained = 0, evaluated = 0;
        OK(cnn_model_evaluate(model, &(cnn_fit_options){.x = x, .y = y}, &evaluated, 1));
        OK(cnn_model_train_on_batch(model, x, y, NULL, &trained, 1));
        const cnn_layer *whole = cnn_model_as_layer(model);
        double moved = 0;
        for (int k = 0; k < whole->variable_count; k++)
            if (strcmp(whole->variables[k]->name, "moving_mean") == 0)
                moved = fabs(cnn_tensor_get(whole->variables[k]->value, 0));
        assert_true((moved == 0) == inference);
        assert_true((fabs(trained - evaluated) < 1e-6) == inference);
        cnn_tensor_release(x);
        cnn_tensor_release(y);
        cnn_model_release(model);
    }
}

/* ---- what cannot be built -------------------------------------------------------------------------------- */

/* clang-format off */

static const char unknown[] =
    "{'class_name': 'Sequential', 'config': {'name': 'net', 'layers': ["
    LAYER("Dense", "'name': 'dense', 'units': 2, 'batch_input_shape': [null, 2]") ", "
    LAYER("Lambda", "'name': 'code', 'function': ['4wEAAA==', null, null]") ", "
    LAYER("Custom>Scale", "'name': 'scale', 'factor': 3") ", "
    LAYER("Sequential", "'name': 'inner', 'layers': [" LAYER("Mystery", "'name': 'deep'") "]") ", "
    "{'module': 'keras.src.ops.numpy', 'class_name': 'Add', 'config': {'name': 'add'}, 'registered_name': 'Add'}, "
    "{'module': 'mine', 'class_name': 'Dense', 'config': {'name': 'own'}, 'registered_name': 'mine>Dense'}]}}";

/* clang-format on */

static void all_that_is_missing_is_named(void **state) {
    (void)state;
    cnn_model *model = NULL;
    size_t before = cnn_memory_used();
    assert_fails(
        try_load(&model, unknown), CNN_ERROR_ARGUMENT,
        "cannot build model 'net': 5 of 6 layers: layer 2 'code' (Lambda): code in files is never run; "
        "layer 3 'scale' (Custom>Scale): unknown class; layer 4 'inner' (Sequential): cannot build model "
        "'inner': 1 of 1 layers: layer 1 'deep' (Mystery): unknown class; layer 5 'add' (Add): operations "
        "outside layers are not supported; layer 6 'own' (Dense): unknown class");
    assert_int_equal(cnn_memory_used(), before);
}

/* Makes identities; remembers what for. */
static cnn_status make(cnn_layer **out, const char *class_name, const char *config, void *data) {
    char *names = data;
    strcat(strcat(names, class_name), " ");
    if (strcmp(class_name, "Mystery") == 0) {
        cnn_layer *never = NULL;
        return cnn_layer_new(&never, "Mystery", NULL);
    }
    assert_non_null(strstr(config, "\"name\""));
    return cnn_layer_new(out, "Activation", "{\"activation\": \"linear\"}");
}

static void classes_of_the_callers_are_asked_for(void **state) {
    char names[256] = "";
    cnn_load_options options = {.make_layer = make, .make_layer_data = names};
    cnn_model *model = NULL;
    cJSON *spec = parse(unknown);
    (void)state;
    assert_fails(cnn_model_from_spec(&model, spec, &options, CNN_MOST_WEIGHTS), CNN_ERROR_ARGUMENT,
                 "3 of 6 layers: layer 2 'code'");
    assert_string_equal(names, "Scale Mystery Dense ");
    cJSON_Delete(spec);
}

/* clang-format off */

#define CHAIN(first, second) \
    MODEL("Model", "net", \
          INPUT("x") ", " NODE("Dense", "a", ", 'units': 4", first) ", " NODE("Dense", "b", ", 'units': 4", second), \
          "['x', 0, 0]", "['b', 0, 0]") "}"

static const char *const wrong_wirings[][2] = {
    {CHAIN("[['b', 0, 0, {}]]", "[['a', 0, 0, {}]]"), "depend on each other in a circle"},
    {CHAIN("[['a', 0, 0, {}]]", "[['a', 0, 0, {}]]"), "depend on each other in a circle"},
    {CHAIN("[['x', 0, 0, {}]]", "[['c', 0, 0, {}]]"), "layer 'b': there is no layer 'c'"},
    {CHAIN("[['x', 0, 0, {}]]", "[['a', 1, 0, {}]]"), "layer 'a' has no output 0 of call 1"},
    {CHAIN("[['x', 0, 0, {}]]", "[['a', 0, 3, {}]]"), "layer 'a' has no output 3 of call 0"},
    {CHAIN("[['x', 0, 0, {}]]", "[['a', -1, 0, {}]]"), "layer 'a' has no output 0 of call -1"},
    {CHAIN("[['x', 0, 0, {}]]", ""), "layer 'b' has no output 0 of call 0"},
    {CHAIN("[['x', 0, 0, {}]]", "[['a', 0, 0, {'training': true}]]"), "'training' other than false"},
    {CHAIN("[['x', 0, 0, {}]]", "[['a', 0, 0, {'y': ['x', 0, 0]}]]"), "layer 'b': it is called with the argument 'y'"},
    {CHAIN("[['x', 0, 0, {}]]", "[['_CONSTANT_VALUE', -1, 3, {}]]"), "layer 'b': calls with constants"},
    {CHAIN("[['x', 0, 0, {}]]", CALL_3(TENSOR_3("a", 0, 0) ", 3")), "several arguments"},
    {CHAIN("[['x', 0, 0, {}]]", "{'kwargs': {}}"), "a call must have 'args'"},
    {MODEL("Model", "net", INPUT("x") ", " INPUT("x"), "['x', 0, 0]", "['x', 0, 0]") "}", "two layers are named 'x'"},
    {MODEL("Model", "net", INPUT("x"), "", "['x', 0, 0]") "}", "'input_layers' must name 1 to 64 tensors"},
    {"{'class_name': 'Model', 'config': {'name': 'net'}}", "model 'net': its 'layers' must be a list"},
    {"{'class_name': 'Sequential'}", "must have a 'class_name' and a 'config'"},
    {"{'config': {}}", "must have a 'class_name' and a 'config'"},
    {"[]", "must be told by an object"}};

/* clang-format on */

static void wrong_wirings_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong_wirings / sizeof *wrong_wirings; i++) {
        cnn_model *model = NULL;
        cnn_status status = try_load(&model, wrong_wirings[i][0]);
        assert_fails(status, status == CNN_ERROR_ARGUMENT ? status : CNN_ERROR_FORMAT, wrong_wirings[i][1]);
    }
}

/* ---- limits ---------------------------------------------------------------------------------------------- */

static void weights_without_end_are_refused(void **state) {
    cnn_model *model = NULL;
    (void)state;
    assert_fails(load_layer(&model, "Dense", "'units': 200000000", "200000"), CNN_ERROR_SHAPE, "Dense");
    assert_fails(load_layer(&model, "Dense", "'units': 1000000", "4000"), CNN_ERROR_SHAPE,
                 "is more than a model from a file may have in weights");
    /* Others may have them: nothing of the limit stays behind. */
    assert_true(cnn_layer_weight_budget(INT64_MAX) == INT64_MAX);
}

/* clang-format off */

/* A Sequential that holds %2$s; and a model that calls what %3$s goes on to tell twice, the calls counted from %2$d. */
static const char outer_once[] = "{'class_name': 'Sequential', 'config': {'name': 's%1$d', 'layers': [%2$s]}}";
static const char outer_twice[] =
    MODEL("Model", "m%1$d",
          NODE("InputLayer", "x", ", 'batch_input_shape': [null, 2]", "") ", "
          "{'name': 'in', 'inbound_nodes': [[['x', 0, 0, {}]], [['in', %2$d, 0, {}]]], %3$s",
          "['x', 0, 0]", "['in', %4$d, 0]") "}";

/* clang-format on */

/* A Dense in so many models, each of which calls the next once or twice. */
static char *nested(int depth, bool twice) {
    enum { ROOM = 1 << 17 };
    char *text = strdup(LAYER("Dense", "'units': 2, 'name': 'dense'"));
    for (int i = 0; i < depth; i++) {
        char *outer = malloc(ROOM);
        if (twice)
            snprintf(outer, ROOM, outer_twice, i, i > 0, text + 1, 1 + (i > 0));
        else
            snprintf(outer, ROOM, outer_once, i, text);
        free(text);
        text = outer;
    }
    return text;
}

static void models_within_models_have_an_end(void **state) {
    cnn_model *model = NULL;
    (void)state;
    char *text = nested(30, false);
    model = load(text);
    cnn_model_release(model);
    free(text);
    text = nested(100, false);
    assert_fails(try_load(&model, text), CNN_ERROR_FORMAT, "more than 64 deep");
    free(text);
    text = nested(5, true);
    model = load(text);
    cnn_model_release(model);
    free(text);
    text = nested(40, true);
    assert_fails(try_load(&model, text), CNN_ERROR_FORMAT, "calls layers more than 65536 times");
    free(text);
}

/* ---- anything at all ------------------------------------------------------------------------------------- */

static const char *const odd_values[] = {"null", "-1", "1e300", "\"x\"", "[]", "{}", "true", "[[1]]"};
enum { ODD_VALUES = sizeof odd_values / sizeof *odd_values };

/* Loads the spec, and if that can be done writes it. */
static void expect_no_harm(const cJSON *spec) {
    cnn_model *model = NULL;
    cJSON *written = NULL;
    cnn_status status = cnn_model_from_spec(&model, spec, NULL, CNN_MOST_WEIGHTS);
    if (status != CNN_OK) {
        assert_null(model);
        assert_true(cnn_error_message()[0]);
        return;
    }
    for (cnn_keras keras = CNN_KERAS_2; keras <= CNN_KERAS_3; keras++) {
        OK(cnn_model_spec_json(&written, model, keras));
        cJSON_Delete(written);
    }
    cnn_model_release(model);
}

/* Puts each odd value in the place of each value below json. */
static void mutate(cJSON *root, cJSON *json) {
    for (cJSON *item = json->child; item; item = item->next) {
        mutate(root, item);
        cJSON saved = *item;
        for (int i = 0; i < ODD_VALUES; i++) {
            cJSON *odd = cJSON_Parse(odd_values[i]);
            item->type = odd->type;
            item->child = odd->child;
            item->valuestring = odd->valuestring;
            item->valueint = odd->valueint;
            item->valuedouble = odd->valuedouble;
            expect_no_harm(root);
            *item = saved;
            cJSON_Delete(odd);
        }
    }
}

static void nothing_in_a_spec_does_harm(void **state) {
    const char *const specs[] = {functionals[2][1], mixed, sequentials[3][1]};
    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        cJSON *spec = parse(specs[i]);
        size_t before = cnn_memory_used();
        mutate(spec, spec);
        assert_int_equal(cnn_memory_used(), before);
        cJSON_Delete(spec);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static cnn_status read_and_write(const char *text) {
    cnn_model *model = NULL;
    char *written = NULL;
    cnn_status status = cnn_model_from_json(&model, text, NULL);
    if (status == CNN_OK) status = cnn_model_to_json(&written, model);
    assert_true((status == CNN_OK) == (written != NULL));
    cnn_model_release(model);
    free(written);
    return status;
}

static void exhausted_memory_is_told(void **state) {
    const char *const specs[] = {functionals[0][1], mixed};
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *text = quoted(specs[i]);
        size_t before = cnn_memory_used();
        cnn_status status = CNN_ERROR_MEMORY;
        int n = 0;
        for (; status != CNN_OK; n++) {
            allocations_left = n;
            cnn_set_alloc_hook(fail_at_zero, NULL);
            status = read_and_write(text);
            cnn_set_alloc_hook(NULL, NULL);
            if (status != CNN_OK) assert_fails(status, CNN_ERROR_MEMORY, "memory");
            assert_int_equal(cnn_memory_used(), before);
        }
        assert_true(n > 100);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequentials_of_all_versions_are_the_same),
        cmocka_unit_test(functionals_of_all_versions_are_the_same),
        cmocka_unit_test(the_order_of_layers_is_the_files),
        cmocka_unit_test(leftovers_of_all_versions_are_taken),
        cmocka_unit_test(what_cannot_be_honoured_is_refused),
        cmocka_unit_test(activations_may_be_layers),
        cmocka_unit_test(what_is_written_is_read_as_it_was),
        cmocka_unit_test(the_words_are_those_of_each_keras),
        cmocka_unit_test(words_that_not_all_versions_know_are_left_out),
        cmocka_unit_test(calls_are_told_in_both_ways),
        cmocka_unit_test(calls_may_stay_as_in_inference),
        cmocka_unit_test(all_that_is_missing_is_named),
        cmocka_unit_test(classes_of_the_callers_are_asked_for),
        cmocka_unit_test(wrong_wirings_are_refused),
        cmocka_unit_test(weights_without_end_are_refused),
        cmocka_unit_test(models_within_models_have_an_end),
        cmocka_unit_test(nothing_in_a_spec_does_harm),
        cmocka_unit_test(exhausted_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
