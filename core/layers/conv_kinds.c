/* The convolutions beside Conv2D: Conv1D, DepthwiseConv2D, SeparableConv2D, Conv2DTranspose. */
#include "layers/layer.h"
#include "layers/activation.h"
#include "layers/initializer.h"
#include "base/status.h"
#include "ops/conv_kinds.h"

typedef struct convolution {
    cnn_layer layer;
    int filters, depth_multiplier, groups;
    int kernel_size[2], strides[2], dilation_rate[2], output_padding[2];
    cnn_shape size1d, strides1d, dilation1d; /* Conv1D's, which Keras writes as lists of one number */
    int padding, data_format;
    bool use_bias;
    cJSON *activation_spec;
    cJSON *kernel_initializer, *pointwise_initializer, *bias_initializer;
    cJSON *kernel_regularizer, *pointwise_regularizer, *bias_regularizer;
    cnn_activation activation;
    cnn_variable *kernel, *pointwise, *bias; /* borrowed from the layer's list */
} convolution;

/* ---- what they share ----------------------------------------------------------------------------------- */

#define WINDOW_PARAMS                                                                                        \
    CNN_PARAM(PAIR, convolution, kernel_size, NULL, .low = 1, .help = "rows and columns of the window"),     \
        CNN_PARAM(PAIR, convolution, strides, "1", .low = 1, .help = "step of the window"),                  \
        CNN_PARAM(CHOICE, convolution, padding, "\"valid\"", .choices = "valid same",                        \
                  .help = "'valid': windows within the picture; 'same': zeros around it")

#define FORMAT_PARAM                                                                                         \
    CNN_PARAM(CHOICE, convolution, data_format, "\"channels_last\"", .choices = "channels_last",             \
              .nullable = true, .help = "channels come last, nothing else")

#define OUTPUT_PARAMS                                                                                        \
    CNN_ACTIVATION_PARAM(convolution, "null"),                                                               \
        CNN_PARAM(BOOL, convolution, use_bias, "true", .help = "add a learned number to each channel")

/* What Keras 2, whose kinds of convolution inherit from each other, left behind in the configs of those that have no
 * use for it. */
#define NO_GROUPS                                                                                            \
    CNN_PARAM(INT, convolution, groups, "1", .low = 1, .high = 1, .derived = true, .help = "only 1")
#define NO_KERNEL                                                                                            \
    NO_GROUPS, CNN_IGNORED_PARAM("kernel_initializer"), CNN_IGNORED_PARAM("kernel_regularizer"),             \
        CNN_IGNORED_PARAM("kernel_constraint")

static cnn_status init(cnn_layer *layer) {
    convolution *self = (convolution *)layer;
    CNN_TRY(cnn_layer_argument(layer, "activation",
                               cnn_activation_read(&self->activation, self->activation_spec)));
    return cnn_layer_check_steps(layer, self->strides, self->dilation_rate);
}

static cnn_status add_kernel(convolution *self, const char *name, int rank, const int64_t *shape) {
    return cnn_layer_add_variable(&self->kernel, &self->layer, name, rank, shape, self->kernel_initializer,
                                  self->kernel_regularizer, true);
}

static cnn_status add_bias(convolution *self, int64_t filters) {
    if (!self->use_bias) return CNN_OK;
    return cnn_layer_add_variable(&self->bias, &self->layer, "bias", 1, &filters, self->bias_initializer,
                                  self->bias_regularizer, true);
}

/* activation(op(x, kernel, bias)) */
static cnn_status convolve(const convolution *self, cnn_tensor **out, const cnn_op *op,
                           const void *attributes, cnn_tensor *x, const cnn_variable *kernel) {
    cnn_tensor *operands[] = {x, kernel->value, self->use_bias ? self->bias->value : NULL}, *sums;
    CNN_TRY(cnn_op_apply(&sums, op, attributes, operands, self->use_bias ? 3 : 2, false));
    return cnn_activation_apply(out, &self->activation, sums);
}

/* ---- Conv1D -------------------------------------------------------------------------------------------- */

static const cnn_param conv1d_params[] = {
    CNN_PARAM(INT, convolution, filters, NULL, .low = 1, .help = "channels of the output"),
    CNN_PARAM_NAMED(SHAPE, convolution, size1d, "kernel_size", NULL, .help = "length of the window"),
    CNN_PARAM_NAMED(SHAPE, convolution, strides1d, "strides", "1", .help = "step of the window"),
    CNN_PARAM(CHOICE, convolution, padding, "\"valid\"", .choices = "valid same causal",
              .help =
                  "'valid': whole windows; 'same': zeros on both sides; 'causal': zeros before the start"),
    FORMAT_PARAM,
    CNN_PARAM_NAMED(SHAPE, convolution, dilation1d, "dilation_rate", "1",
                    .help = "spacing of the window's cells"),
    CNN_PARAM(INT, convolution, groups, "1", .low = 1,
              .help = "channels are split into this many groups, convolved apart"),
    OUTPUT_PARAMS,
    CNN_WEIGHT_PARAMS(convolution, "kernel"),
    CNN_LAYER_PARAMS,
    CNN_LORA_PARAMS,
    {0}};

static cnn_status read_number(const char *name, const cnn_shape *list, int *number) {
    if (list->rank != 1 || list->sizes[0] < 1 || list->sizes[0] > INT32_MAX)
        return cnn_fail(CNN_ERROR_ARGUMENT, "Conv1D: '%s' must be one number of at least 1", name);
    *number = (int)list->sizes[0];
    return CNN_OK;
}

static cnn_status init_conv1d(cnn_layer *layer) {
    convolution *self = (convolution *)layer;
    self->strides[1] = self->dilation_rate[1] = 1;
    CNN_TRY(read_number("kernel_size", &self->size1d, &self->kernel_size[0]));
    CNN_TRY(read_number("strides", &self->strides1d, &self->strides[0]));
    CNN_TRY(read_number("dilation_rate", &self->dilation1d, &self->dilation_rate[0]));
    if (self->filters % self->groups)
        return cnn_fail(CNN_ERROR_ARGUMENT, "Conv1D: groups = %d must divide filters = %d", self->groups,
                        self->filters);
    return init(layer);
}

static cnn_status build_conv1d(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    convolution *self = (convolution *)layer;
    (void)n_inputs;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 3, "[N,L,C]"));
    int64_t channels = inputs[0]->shape[2];
    if (channels % self->groups)
        return cnn_fail(CNN_ERROR_SHAPE, "groups = %d must divide the %lld input channels", self->groups,
                        (long long)channels);
    CNN_TRY(add_kernel(self, "kernel", 3,
                       (const int64_t[]){self->kernel_size[0], channels / self->groups, self->filters}));
    return add_bias(self, self->filters);
}

static cnn_status call_conv1d(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                              bool training) {
    const convolution *self = (convolution *)layer;
    (void)n, (void)training;
    cnn_conv1d a = {.class = &cnn_op_conv1d.class,
                    .strides = self->strides[0],
                    .padding = self->padding,
                    .dilation_rate = self->dilation_rate[0],
                    .groups = self->groups};
    return convolve(self, out, &cnn_op_conv1d, &a, inputs[0], self->kernel);
}

extern const cnn_layer_class cnn_layer_conv1d, cnn_layer_depthwise_conv2d, cnn_layer_separable_conv2d,
    cnn_layer_conv2d_transpose;

/*** 1-D convolution: each filter gives, step by step, the weighted sum of the window it sees.

x [N,L,C] gives [N,L',filters]. Weights: kernel [size,C/groups,filters] and bias [filters]. L' is as the sides of
Conv2D's pictures; with padding "causal" it is ceil(L / stride), and no output sees what comes after it.
@class cnn.layers.Conv1D
@raise an input that is not [N,L,C]; a window that is longer than the sequence; channels or filters that groups does
not divide; strides and dilation_rate that are both above 1
@usage
conv = layers.Conv1D{16, 3, padding = "causal"}
conv(cnn.zeros{2, 100, 4}):shape()  --> {2, 100, 16}
conv:get_weights()                  --> {tensor float32 (3, 4, 16), tensor float32 (16,)}
sums = layers.Conv1D{1, 2, kernel_initializer = "ones"}
sums(cnn.tensor{1, 2, 3, 4}:reshape{1, 4, 1}):reshape{3}
--> float32 (3,)
--> [3. 5. 7.]
*/
const cnn_layer_class cnn_layer_conv1d = {
    .class = CNN_CLASS("layer", "Conv1D", "Convolution1D", convolution, conv1d_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_conv1d,
    .build = build_conv1d,
    .call = call_conv1d};

/* ---- DepthwiseConv2D ----------------------------------------------------------------------------------- */

static const cnn_param depthwise_params[] = {
    WINDOW_PARAMS,
    CNN_PARAM(INT, convolution, depth_multiplier, "1", .low = 1, .help = "channels made of each channel"),
    FORMAT_PARAM,
    CNN_PARAM(PAIR, convolution, dilation_rate, "1", .low = 1, .help = "spacing of the window's cells"),
    OUTPUT_PARAMS,
    CNN_WEIGHT_PARAMS(convolution, "depthwise"),
    CNN_LAYER_PARAMS,
    NO_KERNEL,
    CNN_UNSUPPORTED_PARAM("filters", .derived = true),
    {0}};

static cnn_status build_depthwise(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    convolution *self = (convolution *)layer;
    (void)n_inputs;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    int64_t channels = inputs[0]->shape[3];
    CNN_TRY(add_kernel(
        self, "kernel", 4,
        (const int64_t[]){self->kernel_size[0], self->kernel_size[1], channels, self->depth_multiplier}));
    return add_bias(self, channels * self->depth_multiplier);
}

static cnn_depthwise_conv2d depthwise_attributes(const convolution *self) {
    return (cnn_depthwise_conv2d){.class = &cnn_op_depthwise_conv2d.class,
                                  .strides = {self->strides[0], self->strides[1]},
                                  .padding = self->padding,
                                  .dilation_rate = {self->dilation_rate[0], self->dilation_rate[1]}};
}

static cnn_status call_depthwise(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                 bool training) {
    const convolution *self = (convolution *)layer;
    (void)n, (void)training;
    cnn_depthwise_conv2d a = depthwise_attributes(self);
    return convolve(self, out, &cnn_op_depthwise_conv2d, &a, inputs[0], self->kernel);
}

/*** 2-D convolution of each channel by itself, with kernels of its own.

x [N,H,W,C] gives [N,H',W',C·depth_multiplier], the channels made of one standing together. Weights: kernel
[rows,columns,C,depth_multiplier] and bias [C·depth_multiplier]. Sizes are as of Conv2D.
@class cnn.layers.DepthwiseConv2D
@raise an input that is not [N,H,W,C]; a window that is larger than the picture; strides and dilation_rate that are
both above 1
@usage
conv = layers.DepthwiseConv2D{3, depth_multiplier = 2}
conv(cnn.zeros{1, 28, 28, 3}):shape()  --> {1, 26, 26, 6}
conv:get_weights()                     --> {tensor float32 (3, 3, 3, 2), tensor float32 (6,)}
conv:count_params()                    --> 60
*/
const cnn_layer_class cnn_layer_depthwise_conv2d = {
    .class = CNN_CLASS("layer", "DepthwiseConv2D", NULL, convolution, depthwise_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .build = build_depthwise,
    .call = call_depthwise};

/* ---- SeparableConv2D ----------------------------------------------------------------------------------- */

static const cnn_param separable_params[] = {
    CNN_PARAM(INT, convolution, filters, NULL, .low = 1, .help = "channels of the output"),
    WINDOW_PARAMS,
    FORMAT_PARAM,
    CNN_PARAM(PAIR, convolution, dilation_rate, "1", .low = 1, .help = "spacing of the window's cells"),
    CNN_PARAM(INT, convolution, depth_multiplier, "1", .low = 1,
              .help = "channels made of each channel before they are mixed"),
    OUTPUT_PARAMS,
    CNN_KERNEL_INITIALIZER_PARAM(convolution, kernel_initializer, "depthwise"),
    CNN_KERNEL_INITIALIZER_PARAM(convolution, pointwise_initializer, "pointwise"),
    CNN_BIAS_INITIALIZER_PARAM(convolution),
    CNN_KERNEL_REGULARIZER_PARAM(convolution, kernel_regularizer, "depthwise"),
    CNN_KERNEL_REGULARIZER_PARAM(convolution, pointwise_regularizer, "pointwise"),
    CNN_BIAS_REGULARIZER_PARAM(convolution),
    CNN_UNSUPPORTED_PARAM("activity_regularizer"),
    CNN_UNSUPPORTED_PARAM("depthwise_constraint"),
    CNN_UNSUPPORTED_PARAM("pointwise_constraint"),
    CNN_UNSUPPORTED_PARAM("bias_constraint"),
    CNN_LAYER_PARAMS,
    NO_KERNEL,
    {0}};

static cnn_status build_separable(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    convolution *self = (convolution *)layer;
    (void)n_inputs;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    int64_t channels = inputs[0]->shape[3];
    CNN_TRY(add_kernel(
        self, "depthwise_kernel", 4,
        (const int64_t[]){self->kernel_size[0], self->kernel_size[1], channels, self->depth_multiplier}));
    CNN_TRY(cnn_layer_add_variable(&self->pointwise, layer, "pointwise_kernel", 4,
                                   (const int64_t[]){1, 1, channels * self->depth_multiplier, self->filters},
                                   self->pointwise_initializer, self->pointwise_regularizer, true));
    return add_bias(self, self->filters);
}

static cnn_status call_separable(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                 bool training) {
    const convolution *self = (convolution *)layer;
    (void)n, (void)training;
    cnn_depthwise_conv2d apart = depthwise_attributes(self);
    cnn_conv2d mix = {.class = &cnn_op_conv2d.class,
                      .strides = {1, 1},
                      .dilation_rate = {1, 1},
                      .groups = 1,
                      .pool = {1, 1}};
    cnn_tensor *operands[] = {inputs[0], self->kernel->value}, *channels;
    CNN_TRY(cnn_op_apply(&channels, &cnn_op_depthwise_conv2d, &apart, operands, 2, false));
    cnn_status status = convolve(self, out, &cnn_op_conv2d, &mix, channels, self->pointwise);
    cnn_tensor_release(channels);
    return status;
}

/*** A depthwise convolution, then one of 1×1 that mixes the channels: much like Conv2D, for far fewer weights.
So Xception is built (Chollet 2017). x [N,H,W,C] gives [N,H',W',filters]. Weights: depthwise_kernel
[rows,columns,C,depth_multiplier], pointwise_kernel [1,1,C·depth_multiplier,filters] and bias [filters]; the
activation comes after both. Sizes are as of Conv2D.
@class cnn.layers.SeparableConv2D
@raise an input that is not [N,H,W,C]; a window that is larger than the picture; strides and dilation_rate that are
both above 1
@usage
x = cnn.zeros{1, 28, 28, 64}
separable, full = layers.SeparableConv2D{128, 3}, layers.Conv2D{128, 3}
separable(x):shape(), full(x):shape()
--> {1, 26, 26, 128}
--> {1, 26, 26, 128}
separable:count_params(), full:count_params()
--> 8896
--> 73856
separable:get_weights()
--> {
-->   tensor float32 (3, 3, 64, 1),
-->   tensor float32 (1, 1, 64, 128),
-->   tensor float32 (128,)
--> }
*/
const cnn_layer_class cnn_layer_separable_conv2d = {
    .class = CNN_CLASS("layer", "SeparableConv2D", "SeparableConvolution2D", convolution, separable_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .build = build_separable,
    .call = call_separable};

/* ---- Conv2DTranspose ----------------------------------------------------------------------------------- */

static const cnn_param transpose_params[] = {
    CNN_PARAM(INT, convolution, filters, NULL, .low = 1, .help = "channels of the output"),
    CNN_PARAM(PAIR, convolution, kernel_size, NULL, .low = 1, .help = "rows and columns of the window"),
    CNN_PARAM(PAIR, convolution, strides, "1", .low = 1, .help = "how far apart cells land in the result"),
    CNN_PARAM(CHOICE, convolution, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': all that the windows reach; 'same': output = input · stride"),
    CNN_PARAM(PAIR, convolution, output_padding, "null", .nullable = true, .if_set = true,
              .help = "rows and columns added to the result, below strides; nil: as padding says"),
    FORMAT_PARAM,
    CNN_PARAM(PAIR, convolution, dilation_rate, "1", .low = 1, .help = "spacing of the window's cells"),
    OUTPUT_PARAMS,
    CNN_WEIGHT_PARAMS(convolution, "kernel"),
    CNN_LAYER_PARAMS,
    NO_GROUPS,
    {0}};

static cnn_status build_transpose(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    convolution *self = (convolution *)layer;
    (void)n_inputs;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    CNN_TRY(add_kernel(
        self, "kernel", 4,
        (const int64_t[]){self->kernel_size[0], self->kernel_size[1], self->filters, inputs[0]->shape[3]}));
    return add_bias(self, self->filters);
}

static cnn_status call_transpose(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                 bool training) {
    const convolution *self = (convolution *)layer;
    (void)n, (void)training;
    cnn_conv2d_transpose a = {.class = &cnn_op_conv2d_transpose.class,
                              .strides = {self->strides[0], self->strides[1]},
                              .padding = self->padding,
                              .output_padding = {self->output_padding[0], self->output_padding[1]},
                              .dilation_rate = {self->dilation_rate[0], self->dilation_rate[1]}};
    return convolve(self, out, &cnn_op_conv2d_transpose, &a, inputs[0], self->kernel);
}

/*** Transposed 2-D convolution, which makes pictures larger: the way back from what a Conv2D of these arguments gives.
Each cell of x, times the kernel, is added to a window of the result; neighbouring cells' windows begin stride apart.
It is the gradient of a convolution to its input (Zeiler et al. 2010), as decoders and segmentation use it.

x [N,H,W,C] gives [N,H',W',filters]: H' is H·stride with padding "same", H·stride + max(span - stride, 0) with
"valid", where span is the window's size with its dilation. Given output_padding, H' is (H - 1)·stride + span +
output_padding, less 2·floor(span / 2) with "same". Weights: kernel [rows,columns,filters,C], in this order, and bias
[filters].
@class cnn.layers.Conv2DTranspose
@raise an input that is not [N,H,W,C]; output_padding not below strides; strides and dilation_rate that are both above
1
@usage
layers.Conv2DTranspose{8, 3, strides = 2, padding = "same"}(cnn.zeros{1, 14, 14, 64}):shape()  --> {1, 28, 28, 8}
up = layers.Conv2DTranspose{1, {1, 3}, strides = {1, 2}, kernel_initializer = "ones"}
up(cnn.tensor{1, 10}:reshape{1, 1, 2, 1}):reshape{5}
--> float32 (5,)
--> [ 1.  1. 11. 10. 10.]
*/
const cnn_layer_class cnn_layer_conv2d_transpose = {
    .class = CNN_CLASS("layer", "Conv2DTranspose", "Convolution2DTranspose", convolution, transpose_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .build = build_transpose,
    .call = call_transpose};
