/* Conv2D: a bank of learned windows slid over pictures. */
#include "layers/layer.h"
#include "layers/activation.h"
#include "layers/initializer.h"
#include "base/status.h"
#include "ops/conv.h"

#include <limits.h>

typedef struct conv2d {
    cnn_layer layer;
    int filters;
    int kernel_size[2], strides[2], dilation_rate[2];
    int padding, data_format, groups;
    bool use_bias;
    cJSON *activation_spec;
    cJSON *kernel_initializer, *bias_initializer, *kernel_regularizer, *bias_regularizer;
    cnn_activation activation;
    cnn_variable *kernel, *bias; /* borrowed from the layer's list */
} conv2d;

static const cnn_param params[] = {
    CNN_PARAM(INT, conv2d, filters, NULL, .low = 1, .help = "channels of the output"),
    CNN_PARAM(PAIR, conv2d, kernel_size, NULL, .low = 1, .help = "rows and columns of the window"),
    CNN_PARAM(PAIR, conv2d, strides, "1", .low = 1, .help = "step of the window"),
    CNN_PARAM(CHOICE, conv2d, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': windows within the picture; 'same': zeros around it"),
    CNN_PARAM(CHOICE, conv2d, data_format, "\"channels_last\"", .choices = "channels_last", .nullable = true,
              .help = "channels come last, nothing else"),
    CNN_PARAM(PAIR, conv2d, dilation_rate, "1", .low = 1, .help = "spacing of the window's cells"),
    CNN_PARAM(INT, conv2d, groups, "1", .low = 1,
              .help = "channels are split into this many groups, convolved apart"),
    CNN_ACTIVATION_PARAM(conv2d, "null"),
    CNN_PARAM(BOOL, conv2d, use_bias, "true", .help = "add a learned number to each channel"),
    CNN_WEIGHT_PARAMS(conv2d, "kernel"),
    CNN_LAYER_PARAMS,
    CNN_LORA_PARAMS,
    {0}};

static cnn_status init(cnn_layer *layer) {
    conv2d *self = (conv2d *)layer;
    CNN_TRY(cnn_layer_argument(layer, "activation",
                               cnn_activation_read(&self->activation, self->activation_spec)));
    if (self->filters % self->groups)
        return cnn_fail(CNN_ERROR_ARGUMENT, "Conv2D: groups = %d must divide filters = %d", self->groups,
                        self->filters);
    return cnn_layer_check_steps(layer, self->strides, self->dilation_rate);
}

static cnn_status build(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    conv2d *self = (conv2d *)layer;
    (void)n_inputs;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    int64_t channels = inputs[0]->shape[3];
    if (channels % self->groups)
        return cnn_fail(CNN_ERROR_SHAPE, "groups = %d must divide the %lld input channels", self->groups,
                        (long long)channels);
    int64_t kernel[] = {self->kernel_size[0], self->kernel_size[1], channels / self->groups, self->filters};
    CNN_TRY(cnn_layer_add_variable(&self->kernel, layer, "kernel", 4, kernel, self->kernel_initializer,
                                   self->kernel_regularizer, true));
    if (!self->use_bias) return CNN_OK;
    return cnn_layer_add_variable(&self->bias, layer, "bias", 1, &kernel[3], self->bias_initializer,
                                  self->bias_regularizer, true);
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    conv2d *self = (conv2d *)layer;
    (void)n_inputs;
    cnn_conv2d attributes = {.class = &cnn_op_conv2d.class,
                             .strides = {self->strides[0], self->strides[1]},
                             .padding = self->padding,
                             .groups = self->groups,
                             .pool = {1, 1},
                             .dilation_rate = {self->dilation_rate[0], self->dilation_rate[1]}};
    cnn_tensor *operands[] = {inputs[0], self->kernel->value, self->use_bias ? self->bias->value : NULL};
    cnn_tensor *sums;
    CNN_TRY(cnn_op_apply(&sums, &cnn_op_conv2d, &attributes, operands, self->use_bias ? 3 : 2, training));
    return cnn_activation_apply(out, &self->activation, sums);
}

extern const cnn_layer_class cnn_layer_conv2d;
/*** 2-D convolution: each filter gives, place by place, the weighted sum of the window it sees.
Cell (i, j) of filter f is, over the window's rows r, columns s and channels c:
  activation(bias[f] + Σ kernel[r,s,c,f] · x[i·stride+r, j·stride+s, c])

As in all of deep learning the kernel is not flipped, so that this is what mathematics calls cross-correlation. With
groups the channels are split; with as many as there are, each is convolved by itself.

x [N,H,W,C] gives [N,H',W',filters]. Weights: kernel [rows,columns,C/groups,filters] and bias [filters]. A window of k
cells whose dilation_rate is d spans (k - 1)·d + 1; then H' is floor((H - span) / stride) + 1 with padding "valid" and
ceil(H / stride) with "same", where an odd row or column of zeros comes at the end, as in TensorFlow.
@class cnn.layers.Conv2D
@raise an input that is not [N,H,W,C]; a window that is larger than the picture; channels or filters that groups does
not divide; strides and dilation_rate that are both above 1
@usage
conv = layers.Conv2D{32, 3, activation = "relu"}
conv(cnn.zeros{1, 28, 28, 1}):shape()  --> {1, 26, 26, 32}
conv:get_weights()                     --> {tensor float32 (3, 3, 1, 32), tensor float32 (32,)}
layers.Conv2D{8, 3, padding = "same", strides = 2}(cnn.zeros{1, 28, 28, 1}):shape()  --> {1, 14, 14, 8}
edges = layers.Conv2D{1, {1, 2}, use_bias = false}   -- what changes from a column to the next
edges:build{1, 1, 6, 1}
edges:set_weights{cnn.tensor{-1, 1}:reshape{1, 2, 1, 1}}
edges(cnn.tensor{0, 0, 7, 7, 7, 0}:reshape{1, 1, 6, 1}):reshape{5}
--> float32 (5,)
--> [ 0.  7.  0.  0. -7.]
conv(cnn.zeros{28, 28, 1})  --> error: conv2d: expected an input [N,H,W,C], got shape (28, 28, 1)
*/
const cnn_layer_class cnn_layer_conv2d = {.class =
                                              CNN_CLASS("layer", "Conv2D", "Convolution2D", conv2d, params),
                                          .min_inputs = 1,
                                          .max_inputs = 1,
                                          .init = init,
                                          .build = build,
                                          .call = call};
