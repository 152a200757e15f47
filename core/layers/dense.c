/* Dense: every output is a weighted sum of all inputs. */
#include "layers/layer.h"
#include "layers/activation.h"
#include "layers/initializer.h"
#include "base/status.h"
#include "ops/dense.h"

#include <limits.h>

typedef struct dense {
    cnn_layer layer;
    int units;
    bool use_bias;
    cJSON *activation_spec;
    cJSON *kernel_initializer, *bias_initializer, *kernel_regularizer, *bias_regularizer;
    cnn_activation activation;
    cnn_variable *kernel, *bias; /* borrowed from the layer's list */
} dense;

static const cnn_param params[] = {
    CNN_PARAM(INT, dense, units, NULL, .low = 1, .help = "size of the output"),
    CNN_ACTIVATION_PARAM(dense, "null"),
    CNN_PARAM(BOOL, dense, use_bias, "true", .help = "add a learned number to each output"),
    CNN_WEIGHT_PARAMS(dense, "kernel", .only = CNN_KERAS_2),
    CNN_LAYER_PARAMS,
    CNN_LORA_PARAMS,
    {0}};

static cnn_status init(cnn_layer *layer) {
    dense *self = (dense *)layer;
    return cnn_layer_argument(layer, "activation",
                              cnn_activation_read(&self->activation, self->activation_spec));
}

static cnn_status build(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    dense *self = (dense *)layer;
    (void)n_inputs;
    if (inputs[0]->rank < 2) return cnn_layer_expect_rank(layer, inputs[0], 2, "[N,features]");
    int64_t kernel[] = {inputs[0]->shape[inputs[0]->rank - 1], self->units};
    CNN_TRY(cnn_layer_add_variable(&self->kernel, layer, "kernel", 2, kernel, self->kernel_initializer,
                                   self->kernel_regularizer, true));
    if (!self->use_bias) return CNN_OK;
    return cnn_layer_add_variable(&self->bias, layer, "bias", 1, &kernel[1], self->bias_initializer,
                                  self->bias_regularizer, true);
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    dense *self = (dense *)layer;
    (void)n_inputs;
    cnn_dense attributes = {.class = &cnn_op_dense.class};
    cnn_tensor *operands[] = {inputs[0], self->kernel->value, self->use_bias ? self->bias->value : NULL};
    cnn_tensor *sums;
    CNN_TRY(cnn_op_apply(&sums, &cnn_op_dense, &attributes, operands, self->use_bias ? 3 : 2, training));
    return cnn_activation_apply(out, &self->activation, sums);
}

extern const cnn_layer_class cnn_layer_dense;
/*** A fully connected layer: every output is a weighted sum of all inputs, plus a bias.

  activation(x · kernel + bias)

x [N,…,K] gives [N,…,units]. Weights: kernel [K,units] and, unless use_bias is false, bias [units]; they are made at
the first call, when K is known. A picture goes in as one long row per sample (layers.Flatten): given [N,H,W,C] the
layer works on each cell by itself.
@class cnn.layers.Dense
@raise an input without axis for features; later, one with another number of features than the first
@usage
dense = layers.Dense{3, activation = "relu"}
dense(cnn.ones{2, 4}):shape()  --> {2, 3}
dense:get_weights()            --> {tensor float32 (4, 3), tensor float32 (3,)}
dense:count_params()           --> 15
sums = layers.Dense{1, kernel_initializer = "ones"}
sums{{1, 2, 3}, {10, 20, 30}}
--> float32 (2, 1)
--> [[ 6.]
-->  [60.]]
sums{{1, 2}}  --> error: dense_1: weights of shape (3, 1) do not fit an input of shape (1, 2)
*/
const cnn_layer_class cnn_layer_dense = {.class = CNN_CLASS("layer", "Dense", NULL, dense, params),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .init = init,
                                         .build = build,
                                         .call = call};
