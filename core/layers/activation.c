/* Activations, and the layer that is nothing else. */
#include "layers/activation.h"
#include "layers/layer.h"
#include "base/status.h"
#include "ops/activation.h"
#include "ops/softmax.h"

#include <string.h>

static const cnn_param no_params[] = {{0}};
static const cnn_class linear = CNN_CLASS("activation", "linear", NULL, cnn_object, no_params);

/* cnn_class_find wants classes, which are what ops begin with; the first tells messages of what kind all are. */
static const cnn_class *const activations[] = {&linear,
                                               &cnn_op_relu.class,
                                               &cnn_op_leaky_relu.class,
                                               &cnn_op_elu.class,
                                               &cnn_op_selu.class,
                                               &cnn_op_sigmoid.class,
                                               &cnn_op_tanh.class,
                                               &cnn_op_softmax.class,
                                               &cnn_op_softplus.class,
                                               &cnn_op_softsign.class,
                                               &cnn_op_log_softmax.class,
                                               &cnn_op_silu.class,
                                               &cnn_op_gelu.class,
                                               &cnn_op_relu6.class,
                                               &cnn_op_exp.class,
                                               NULL};

/* Keras 3 may write a function as {"class_name": "function", "config": "relu"}. */
static const cJSON *name_of_function(const cJSON *spec) {
    const cJSON *class = cJSON_GetObjectItemCaseSensitive(spec, "class_name");
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(spec, "config");
    bool function = cJSON_IsString(class) && strcmp(class->valuestring, "function") == 0;
    return function && cJSON_IsString(config) ? config : spec;
}

/* The function of a layer Activation, or the spec itself. */
static const cJSON *within_layer(const cJSON *spec) {
    const cJSON *class;
    while (class = cJSON_GetObjectItemCaseSensitive(spec, "class_name"),
           cJSON_IsString(class) && strcmp(class->valuestring, "Activation") == 0)
        spec =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(spec, "config"), "activation");
    return spec;
}

cnn_status cnn_activation_read(cnn_activation *activation, const cJSON *spec) {
    *activation = (cnn_activation){0};
    spec = within_layer(spec);
    if (!spec || cJSON_IsNull(spec)) return CNN_OK;
    bool found;
    CNN_TRY(cnn_activation_from_layer(activation, &found, spec));
    if (found) return CNN_OK;
    void *attributes;
    CNN_TRY(cnn_object_from(&attributes, activations, name_of_function(spec)));
    const cnn_class *class = ((const cnn_object *)attributes)->class;
    if (class != &linear) {
        activation->op = (const cnn_op *)class;
        memcpy(activation->attributes, attributes, class->size);
    }
    cnn_object_free(attributes);
    return CNN_OK;
}

/* True if its arguments are those that its name alone stands for. */
static bool is_default(const cnn_activation *activation) {
    void *fresh;
    if (cnn_object_new(&fresh, &activation->op->class, NULL) != CNN_OK) return true;
    cJSON *usual = cnn_object_config(fresh), *own = cnn_object_config(activation->attributes);
    bool same = cJSON_Compare(usual, own, true);
    cJSON_Delete(usual);
    cJSON_Delete(own);
    cnn_object_free(fresh);
    return same;
}

/* Where a function's name in Keras, or in Keras 2 alone, is another than the op's. */
static const char *function_name(const cnn_op *op, cnn_keras keras) {
    if (op == &cnn_op_exp) return "exponential";
    if (op == &cnn_op_silu && keras == CNN_KERAS_2) return "swish";
    return op->class.name;
}

/* Functions by name; what has arguments of its own, or is no function of Keras 2, as the layer that Keras has for it. */
static cJSON *write_activation(const cJSON *spec, cnn_keras keras) {
    cnn_activation activation;
    if (cnn_activation_read(&activation, spec) != CNN_OK) return NULL;
    if (!activation.op) return cJSON_CreateString("linear");
    bool younger = activation.op == &cnn_op_leaky_relu || activation.op == &cnn_op_relu6;
    cJSON *layer = NULL;
    if (!is_default(&activation) || (younger && keras == CNN_KERAS_2))
        layer = cnn_activation_layer_json(&activation, keras);
    return layer ? layer : cJSON_CreateString(function_name(activation.op, keras));
}

const cnn_param_spec cnn_activation_spec = {.write = write_activation};

cnn_status cnn_activation_apply(cnn_tensor **out, const cnn_activation *activation, cnn_tensor *x) {
    if (!activation->op) {
        *out = x;
        return CNN_OK;
    }
    cnn_status status = cnn_op_apply(out, activation->op, activation->attributes, &x, 1, false);
    cnn_tensor_release(x);
    return status;
}

typedef struct activation_layer {
    cnn_layer layer;
    cJSON *activation_spec;
    cnn_activation activation;
} activation_layer;

static const cnn_param params[] = {CNN_ACTIVATION_PARAM(activation_layer, NULL), CNN_LAYER_PARAMS, {0}};

static cnn_status init(cnn_layer *layer) {
    activation_layer *self = (activation_layer *)layer;
    return cnn_layer_argument(layer, "activation",
                              cnn_activation_read(&self->activation, self->activation_spec));
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    (void)n_inputs, (void)training;
    return cnn_activation_apply(out, &((activation_layer *)layer)->activation, cnn_tensor_retain(inputs[0]));
}

extern const cnn_layer_class cnn_layer_activation;
/*** Applies an activation function to each element: x to a tensor of the same shape.
Names: relu, relu6, leaky_relu, elu, selu, gelu, silu (or swish), sigmoid, tanh, softplus, softsign, softmax,
log_softmax, exponential and linear. Layers take the same as their argument activation: such a name, the function of
cnn.nn with that name, or a layer that is an activation without weights, such as LeakyReLU{0.1}.
@class cnn.layers.Activation
@raise a name, function or layer that is none of them
@usage
layers.Activation{"relu"}{{-2, 0, 3}}
--> float32 (1, 3)
--> [[0. 0. 3.]]
layers.Activation{"softmax"}{{1, 1, 2}}
--> float32 (1, 3)
--> [[0.21194157 0.21194157 0.5761169 ]]
layers.Activation{layers.LeakyReLU{0.5}}{-2, 3}:tolist()  --> {-1.0, 3.0}
layers.Activation{cnn.nn.relu}{-2, 3}:tolist()  --> {0.0, 3.0}
layers.Activation{"rellu"}
--> error: Activation: 'activation': unknown activation 'rellu' (did you mean 'relu'?)
*/
const cnn_layer_class cnn_layer_activation = {
    .class = CNN_CLASS("layer", "Activation", NULL, activation_layer, params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call};
