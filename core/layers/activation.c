/* Activations by name, and the layer that is nothing else. */
#include "layers/activation.h"
#include "layers/layer.h"
#include "base/status.h"
#include "ops/activation.h"
#include "ops/shape.h"
#include "ops/softmax.h"

#include <string.h>

/* cnn_class_find wants classes, which are what ops begin with. */
static const cnn_class *const activations[] = {&cnn_op_relu.class,
                                               &cnn_op_leaky_relu.class,
                                               &cnn_op_elu.class,
                                               &cnn_op_selu.class,
                                               &cnn_op_sigmoid.class,
                                               &cnn_op_tanh.class,
                                               &cnn_op_softmax.class,
                                               &cnn_op_softplus.class,
                                               &cnn_op_log_softmax.class,
                                               &cnn_op_silu.class,
                                               &cnn_op_exp.class,
                                               &cnn_op_identity.class,
                                               NULL};

cnn_status cnn_activation_read(cnn_activation *activation, const cJSON *spec) {
    *activation = (cnn_activation){0};
    if (!spec || cJSON_IsNull(spec)) return CNN_OK;
    void *attributes;
    CNN_TRY(cnn_object_from(&attributes, activations, spec));
    const cnn_class *class = ((const cnn_object *)attributes)->class;
    if (class != &cnn_op_identity.class) {
        activation->op = (const cnn_op *)class;
        memcpy(activation->attributes, attributes, class->size);
    }
    cnn_object_free(attributes);
    return CNN_OK;
}

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
    cJSON *spec;
    cnn_activation activation;
} activation_layer;

static const cnn_param params[] = {
    CNN_PARAM_NAMED(
        JSON, activation_layer, spec, "activation", NULL,
        .help = "its name: relu, leaky_relu, elu, selu, sigmoid, tanh, softmax, softplus, silu, linear"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init(cnn_layer *layer) {
    activation_layer *self = (activation_layer *)layer;
    return cnn_layer_argument(layer, "activation", cnn_activation_read(&self->activation, self->spec));
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    (void)n_inputs, (void)training;
    return cnn_activation_apply(out, &((activation_layer *)layer)->activation, cnn_tensor_retain(inputs[0]));
}

extern const cnn_layer_class cnn_layer_activation;
const cnn_layer_class cnn_layer_activation = {
    .class = CNN_CLASS("layer", "Activation", NULL, activation_layer, params,
                       "Applies a function to each element: x to a tensor of the same shape."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call};
