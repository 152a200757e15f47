/* BatchNormalization and LayerNormalization. Their ops work on last axes; for others the input is turned around and
 * back. */
#include "layers/layer.h"
#include "layers/initializer.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/norm.h"
#include "ops/shape.h"

#include <math.h>

typedef struct normalization {
    cnn_layer layer;
    cJSON *axis;
    double momentum, epsilon;
    bool center, scale, synchronized;
    cJSON *beta_initializer, *gamma_initializer, *moving_mean_initializer, *moving_variance_initializer;
    cJSON *beta_regularizer, *gamma_regularizer;
    cnn_variable *gamma, *beta, *moving_mean,
        *moving_variance;     /* borrowed from the layer's list; may be NULL */
    cnn_tensor *ones, *zeros; /* what stands for gamma and beta that are not there */
    cnn_tensor *frozen;       /* int32 [1]: 1 while the layer is not trainable */
} normalization;

/* ---- axes ---------------------------------------------------------------------------------------------- */

/* The axes as a bit mask. */
static cnn_status read_axes(const normalization *self, int rank, unsigned *mask) {
    const cJSON *spec = self->axis;
    const char *who = self->layer.class->name;
    *mask = 0;
    for (const cJSON *item = cJSON_IsArray(spec) ? spec->child : spec; item; item = item->next) {
        int axis;
        if (!cJSON_IsNumber(item) || item->valuedouble != item->valueint)
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'axis' must be a whole number or a list of them", who);
        CNN_TRY(cnn_normalize_axis(who, item->valueint, rank, &axis));
        if (axis == 0) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'axis' can't be the batch's", who);
        *mask |= 1u << axis;
        if (!cJSON_IsArray(spec)) break;
    }
    return *mask ? CNN_OK : cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'axis' names no axis", who);
}

static cnn_status transpose(cnn_tensor **out, cnn_tensor *x, const int *axes) {
    cnn_transpose_op attributes = {.class = &cnn_op_transpose.class, .axes = {.rank = x->rank}};
    for (int i = 0; i < x->rank; i++) attributes.axes.sizes[i] = axes[i];
    return cnn_op_apply(out, &cnn_op_transpose, &attributes, &x, 1, false);
}

/* Applies the op with the axes in the mask last. */
static cnn_status apply_to_axes(cnn_tensor **out, const cnn_op *op, const void *attributes, unsigned mask,
                                cnn_tensor *const *operands, int n_operands, bool training) {
    cnn_tensor *x = operands[0], *turned, *list[6], *y;
    int axes[CNN_MAX_RANK], inverse[CNN_MAX_RANK], count = 0;
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < x->rank; i++)
            if ((mask >> i & 1) == (unsigned)last) axes[count++] = i;
    bool ordered = true;
    for (int i = 0; i < x->rank; i++) {
        inverse[axes[i]] = i;
        ordered = ordered && axes[i] == i;
    }
    if (ordered) return cnn_op_apply(out, op, attributes, operands, n_operands, training);
    CNN_TRY(transpose(&turned, x, axes));
    for (int i = 0; i < n_operands; i++) list[i] = i == 0 ? turned : operands[i];
    cnn_status status = cnn_op_apply(&y, op, attributes, list, n_operands, training);
    cnn_tensor_release(turned);
    CNN_TRY(status);
    status = transpose(out, y, inverse);
    cnn_tensor_release(y);
    return status;
}

/* ---- what both have ------------------------------------------------------------------------------------ */

/* gamma and beta, which both have. */
#define SCALE_INITIALIZER_PARAMS                                                                             \
    CNN_INITIALIZER_PARAM(normalization, beta_initializer, "beta_initializer", "\"zeros\"",                  \
                          "how beta starts"),                                                                \
        CNN_INITIALIZER_PARAM(normalization, gamma_initializer, "gamma_initializer", "\"ones\"",             \
                              "how gamma starts")
#define SCALE_REGULARIZER_PARAMS                                                                             \
    CNN_REGULARIZER_PARAM(normalization, beta_regularizer, "beta_regularizer",                               \
                          "what keeps beta small, as of Dense"),                                             \
        CNN_REGULARIZER_PARAM(normalization, gamma_regularizer, "gamma_regularizer", "the same for gamma"),  \
        CNN_UNSUPPORTED_PARAM("beta_constraint"), CNN_UNSUPPORTED_PARAM("gamma_constraint")

static void close_normalization(cnn_layer *layer) {
    normalization *self = (normalization *)layer;
    cnn_tensor_release(self->ones);
    cnn_tensor_release(self->zeros);
    cnn_tensor_release(self->frozen);
}

/* gamma and beta, or the constants in their place. */
static cnn_status add_scale_and_offset(normalization *self, int rank, const int64_t *shape) {
    cnn_layer *layer = &self->layer;
    cnn_tensor_release(self->ones);
    cnn_tensor_release(self->zeros);
    self->ones = self->zeros = NULL;
    if (self->scale)
        CNN_TRY(cnn_layer_add_variable(&self->gamma, layer, "gamma", rank, shape, self->gamma_initializer,
                                       self->gamma_regularizer, true));
    else
        CNN_TRY(cnn_tensor_full(&self->ones, CNN_FLOAT32, rank, shape, 1));
    if (self->center)
        return cnn_layer_add_variable(&self->beta, layer, "beta", rank, shape, self->beta_initializer,
                                      self->beta_regularizer, true);
    return cnn_tensor_new(&self->zeros, CNN_FLOAT32, rank, shape);
}

static cnn_tensor *gamma_of(const normalization *self) {
    return self->scale ? self->gamma->value : self->ones;
}

static cnn_tensor *beta_of(const normalization *self) {
    return self->center ? self->beta->value : self->zeros;
}

/* ---- BatchNormalization -------------------------------------------------------------------------------- */

static const cnn_param batch_params[] = {
    CNN_PARAM(JSON, normalization, axis, "-1", .help = "the channels' axis"),
    CNN_PARAM(FLOAT, normalization, momentum, "0.99", .low = 0, .high = 1,
              .help = "what the moving statistics keep of themselves at each step"),
    CNN_PARAM(FLOAT, normalization, epsilon, "0.001", .low = 0, .high = INFINITY,
              .help = "added to the variance"),
    CNN_PARAM(BOOL, normalization, center, "true", .help = "add a learned number, beta, to each channel"),
    CNN_PARAM(BOOL, normalization, scale, "true", .help = "multiply each channel with a learned one, gamma"),
    SCALE_INITIALIZER_PARAMS,
    CNN_INITIALIZER_PARAM(normalization, moving_mean_initializer, "moving_mean_initializer", "\"zeros\"",
                          "how the moving mean starts"),
    CNN_INITIALIZER_PARAM(normalization, moving_variance_initializer, "moving_variance_initializer",
                          "\"ones\"", "how the moving variance starts"),
    SCALE_REGULARIZER_PARAMS,
    CNN_PARAM(BOOL, normalization, synchronized, "false", .only = CNN_KERAS_3,
              .help = "of no effect: there is one device"),
    CNN_LAYER_PARAMS,
    CNN_UNSUPPORTED_PARAM("renorm", .derived = true),
    CNN_IGNORED_PARAM("renorm_clipping"),
    CNN_IGNORED_PARAM("renorm_momentum"),
    CNN_IGNORED_PARAM("fused"),
    CNN_UNSUPPORTED_PARAM("virtual_batch_size", .derived = true),
    CNN_UNSUPPORTED_PARAM("adjustment", .derived = true),
    {0}};

static void set_trainable(cnn_layer *layer, bool trainable) {
    cnn_i32(((normalization *)layer)->frozen)[0] = !trainable;
}

static cnn_status init_batch(cnn_layer *layer) {
    normalization *self = (normalization *)layer;
    if (cJSON_IsArray(self->axis) && cJSON_GetArraySize(self->axis) != 1) /* Keras 2 writes a list of one */
        return cnn_fail(CNN_ERROR_ARGUMENT, "BatchNormalization: 'axis' must be one axis");
    CNN_TRY(cnn_tensor_new(&self->frozen, CNN_INT32, 1, (const int64_t[]){1}));
    set_trainable(layer, layer->trainable);
    return CNN_OK;
}

static cnn_status build_batch(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    normalization *self = (normalization *)layer;
    const cnn_tensor *x = inputs[0];
    unsigned mask;
    int axis = 0;
    (void)n_inputs;
    if (x->rank < 2) return cnn_layer_expect_rank(layer, x, 2, "[N,channels]");
    CNN_TRY(read_axes(self, x->rank, &mask));
    while (!(mask >> axis & 1)) axis++;
    CNN_TRY(add_scale_and_offset(self, 1, &x->shape[axis]));
    CNN_TRY(cnn_layer_add_variable(&self->moving_mean, layer, "moving_mean", 1, &x->shape[axis],
                                   self->moving_mean_initializer, NULL, false));
    return cnn_layer_add_variable(&self->moving_variance, layer, "moving_variance", 1, &x->shape[axis],
                                  self->moving_variance_initializer, NULL, false);
}

static cnn_status call_batch(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                             bool training) {
    const normalization *self = (normalization *)layer;
    unsigned mask;
    (void)n_inputs;
    CNN_TRY(read_axes(self, inputs[0]->rank, &mask));
    cnn_batch_norm attributes = {&cnn_op_batch_normalization.class, self->momentum, self->epsilon};
    cnn_tensor *operands[] = {
        inputs[0],   gamma_of(self), beta_of(self), self->moving_mean->value, self->moving_variance->value,
        self->frozen};
    return apply_to_axes(out, &cnn_op_batch_normalization, &attributes, mask, operands, 6, training);
}

extern const cnn_layer_class cnn_layer_batch_normalization, cnn_layer_layer_normalization;

/*** Batch normalization: each channel gets mean beta and deviation gamma, both learned (Ioffe and Szegedy 2015).

  gamma · (x - mean) / sqrt(variance + epsilon) + beta

In training mean and variance are the batch's, over all axes but the channels', and the moving ones follow: moving =
momentum · moving + (1 - momentum) · batch's. In inference, and where the layer is not trainable, the moving ones are
used and nothing changes: the answer for a picture does not depend on the others.

x [N,…,C] to the same shape. Weights, all [C]: gamma, beta, moving_mean, moving_variance; the last two are not trained
by gradients and count among the non-trainable parameters. As in Keras the variance is that of the population (divided
by the number of cells, not by one less).
@class cnn.layers.BatchNormalization
@raise an axis that is not there, or the batch's
@usage
norm = layers.BatchNormalization{}
x = cnn.tensor{{1, 100}, {3, 300}}
norm(x, {training = true})
--> float32 (2, 2)
--> [[-0.9995004 -1.       ]
-->  [ 0.9995004  1.       ]]
norm(x)                          -- the moving statistics have hardly begun to follow
--> float32 (2, 2)
--> [[ 0.9795104  9.751799 ]
-->  [ 2.978511  29.653429 ]]
norm:get_weights()[3]
--> float32 (2,)
--> [0.02 2.  ]
norm:count_params()  --> 8
*/
const cnn_layer_class cnn_layer_batch_normalization = {
    .class = CNN_CLASS("layer", "BatchNormalization",
                       "BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization", normalization,
                       batch_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_batch,
    .build = build_batch,
    .call = call_batch,
    .close = close_normalization,
    .set_trainable = set_trainable};

/* ---- LayerNormalization -------------------------------------------------------------------------------- */

static const cnn_param layer_params[] = {
    CNN_PARAM(JSON, normalization, axis, "-1", .help = "the axis, or a list of axes, normalized together"),
    CNN_PARAM(FLOAT, normalization, epsilon, "0.001", .low = 0, .high = INFINITY,
              .help = "added to the variance"),
    CNN_PARAM(BOOL, normalization, center, "true", .help = "add learned numbers, beta"),
    CNN_PARAM(BOOL, normalization, scale, "true", .help = "multiply with learned numbers, gamma"),
    SCALE_INITIALIZER_PARAMS,
    SCALE_REGULARIZER_PARAMS,
    CNN_LAYER_PARAMS,
    CNN_UNSUPPORTED_PARAM("rms_scaling", .derived = true),
    {0}};

static cnn_status build_layer(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    normalization *self = (normalization *)layer;
    const cnn_tensor *x = inputs[0];
    int64_t shape[CNN_MAX_RANK];
    unsigned mask;
    int rank = 0;
    (void)n_inputs;
    CNN_TRY(read_axes(self, x->rank, &mask));
    for (int i = 0; i < x->rank; i++)
        if (mask >> i & 1) shape[rank++] = x->shape[i];
    return add_scale_and_offset(self, rank, shape);
}

static cnn_status call_layer(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                             bool training) {
    const normalization *self = (normalization *)layer;
    unsigned mask;
    (void)n_inputs;
    CNN_TRY(read_axes(self, inputs[0]->rank, &mask));
    cnn_layer_norm attributes = {&cnn_op_layer_normalization.class, self->epsilon, __builtin_popcount(mask)};
    cnn_tensor *operands[] = {inputs[0], gamma_of(self), beta_of(self)};
    return apply_to_axes(out, &cnn_op_layer_normalization, &attributes, mask, operands, 3, training);
}

/*** Layer normalization: each sample gets mean beta and deviation gamma along an axis (Ba et al. 2016).

  gamma · (x - mean) / sqrt(variance + epsilon) + beta

Mean and variance are those of the sample along `axis`, or over several axes together. It looks at no other sample, so
that training and inference are the same. x to the same shape; weights gamma and beta are shaped as the axes are.
@class cnn.layers.LayerNormalization
@raise an axis that is not there, or the batch's
@usage
layers.LayerNormalization{}{{1, 2, 3}, {10, 20, 30}}
--> float32 (2, 3)
--> [[-1.2238274  0.         1.2238274]
-->  [-1.2247357  0.         1.2247357]]
norm = layers.LayerNormalization{axis = {1, 2, 3}}      -- each picture as a whole; the batch's axis is 0
norm(cnn.ones{8, 4, 4, 3}):shape()  --> {8, 4, 4, 3}
norm:get_weights()                  --> {tensor float32 (4, 4, 3), tensor float32 (4, 4, 3)}
*/
const cnn_layer_class cnn_layer_layer_normalization = {
    .class = CNN_CLASS("layer", "LayerNormalization", NULL, normalization, layer_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .build = build_layer,
    .call = call_layer,
    .close = close_normalization};
