/* Activations that are layers of their own, with arguments or weights: ReLU, LeakyReLU, ELU, PReLU, Softmax. */
#include "layers/layer.h"
#include "layers/initializer.h"
#include "base/status.h"
#include "ops/activation.h"
#include "ops/piecewise.h"
#include "ops/softmax.h"

#include <math.h>

typedef struct advanced {
    cnn_layer layer;
    double max_value, negative_slope, threshold, alpha;
    int axis;
    cnn_shape shared_axes;
    cJSON *alpha_initializer, *alpha_regularizer, *alpha_constraint;
    cnn_variable *alphas; /* borrowed from the layer's list */
} advanced;

/* ---- ReLU ---------------------------------------------------------------------------------------------- */

static const cnn_param relu_params[] = {
    CNN_PARAM(FLOAT, advanced, max_value, "null", .nullable = true, .low = 0,
              .help = "the largest result; nil: none"),
    CNN_PARAM(FLOAT, advanced, negative_slope, "0", .low = 0, .help = "the slope below the threshold"),
    CNN_PARAM(FLOAT, advanced, threshold, "0", .low = 0, .help = "where x begins to pass"),
    CNN_LAYER_PARAMS,
    {0}};

/* The plain case is the op that a plan fuses. */
static cnn_status call_relu(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                            bool training) {
    const advanced *self = (advanced *)layer;
    (void)n;
    bool bounded = !isnan(self->max_value) || self->threshold != 0;
    if (!bounded && self->negative_slope == 0)
        return cnn_op_apply(out, &cnn_op_relu, NULL, inputs, 1, training);
    if (bounded) {
        cnn_bounded_relu a = {&cnn_op_bounded_relu.class, self->max_value, self->negative_slope,
                              self->threshold};
        return cnn_op_apply(out, &cnn_op_bounded_relu, &a, inputs, 1, training);
    }
    cnn_activation_op a = {.class = &cnn_op_leaky_relu.class, .parameter = self->negative_slope};
    return cnn_op_apply(out, &cnn_op_leaky_relu, &a, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_relu, cnn_layer_leaky_relu, cnn_layer_elu, cnn_layer_prelu,
    cnn_layer_softmax;

const cnn_layer_class cnn_layer_relu = {
    .class =
        CNN_CLASS("layer", "ReLU", NULL, advanced, relu_params,
                  "x from threshold to max_value, max_value above, negative_slope·(x - threshold) below."),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = call_relu};

/* ---- LeakyReLU and ELU --------------------------------------------------------------------------------- */

static const cnn_param leaky_params[] = {
    CNN_PARAM(FLOAT, advanced, negative_slope, "0.3", .low = 0, .help = "the slope below 0"),
    CNN_PARAM(FLOAT, advanced, alpha, "null", .nullable = true, .derived = true, .low = 0,
              .help = "an older name of negative_slope"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_leaky(cnn_layer *layer) {
    advanced *self = (advanced *)layer;
    if (!isnan(self->alpha)) self->negative_slope = self->alpha;
    return CNN_OK;
}

static cnn_status call_leaky(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                             bool training) {
    (void)n;
    cnn_activation_op a = {.class = &cnn_op_leaky_relu.class,
                           .parameter = ((advanced *)layer)->negative_slope};
    return cnn_op_apply(out, &cnn_op_leaky_relu, &a, inputs, 1, training);
}

const cnn_layer_class cnn_layer_leaky_relu = {
    .class = CNN_CLASS("layer", "LeakyReLU", NULL, advanced, leaky_params,
                       "x where it is positive, negative_slope·x elsewhere."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_leaky,
    .call = call_leaky};

static const cnn_param elu_params[] = {
    CNN_PARAM(FLOAT, advanced, alpha, "1", .low = 0, .help = "minus the limit far below 0"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_elu(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                           bool training) {
    (void)n;
    cnn_activation_op a = {.class = &cnn_op_elu.class, .parameter = ((advanced *)layer)->alpha};
    return cnn_op_apply(out, &cnn_op_elu, &a, inputs, 1, training);
}

const cnn_layer_class cnn_layer_elu = {.class =
                                           CNN_CLASS("layer", "ELU", NULL, advanced, elu_params,
                                                     "x where it is positive, alpha·(e^x - 1) elsewhere."),
                                       .min_inputs = 1,
                                       .max_inputs = 1,
                                       .call = call_elu};

/* ---- PReLU --------------------------------------------------------------------------------------------- */

static const cnn_param prelu_params[] = {
    CNN_PARAM(JSON, advanced, alpha_initializer, "\"zeros\"", .help = "how the slopes start"),
    CNN_PARAM(JSON, advanced, alpha_regularizer, "null", .help = "'l1', 'l2' or a table, for the slopes"),
    CNN_UNSUPPORTED_PARAM(alpha_constraint, advanced),
    CNN_PARAM(SHAPE, advanced, shared_axes, "null",
              .help = "axes, from 1, along which one slope serves all: {1, 2} for pictures"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_prelu(cnn_layer *layer) {
    advanced *self = (advanced *)layer;
    CNN_TRY(cnn_initializer_check(self->alpha_initializer));
    return cnn_layer_refuse(layer, "alpha_constraint", self->alpha_constraint);
}

static cnn_status build_prelu(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    advanced *self = (advanced *)layer;
    const cnn_tensor *x = inputs[0];
    int64_t shape[CNN_MAX_RANK];
    (void)n_inputs;
    if (x->rank < 2) return cnn_layer_expect_rank(layer, x, 2, "[N,features]");
    for (int i = 1; i < x->rank; i++) shape[i - 1] = x->shape[i];
    for (int i = 0; i < self->shared_axes.rank; i++) {
        int64_t axis = self->shared_axes.sizes[i];
        if (axis < 1 || axis >= x->rank)
            return cnn_fail(CNN_ERROR_ARGUMENT, "PReLU: shared axis %lld is not one of 1 to %d",
                            (long long)axis, x->rank - 1);
        shape[axis - 1] = 1;
    }
    return cnn_layer_add_variable(&self->alphas, layer, "alpha", x->rank - 1, shape, self->alpha_initializer,
                                  self->alpha_regularizer, true);
}

static cnn_status call_prelu(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                             bool training) {
    cnn_tensor *operands[] = {inputs[0], ((advanced *)layer)->alphas->value};
    (void)n;
    return cnn_op_apply(out, &cnn_op_prelu, NULL, operands, 2, training);
}

const cnn_layer_class cnn_layer_prelu = {.class = CNN_CLASS("layer", "PReLU", NULL, advanced, prelu_params,
                                                            "x where it is positive, a learned slope times x "
                                                            "elsewhere."),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .init = init_prelu,
                                         .build = build_prelu,
                                         .call = call_prelu};

/* ---- Softmax ------------------------------------------------------------------------------------------- */

static const cnn_param softmax_params[] = {
    CNN_PARAM(INT, advanced, axis, "-1", .help = "the axis along which the results sum to 1"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_softmax(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    (void)n;
    cnn_softmax a = {&cnn_op_softmax.class, ((advanced *)layer)->axis};
    return cnn_op_apply(out, &cnn_op_softmax, &a, inputs, 1, training);
}

const cnn_layer_class cnn_layer_softmax = {
    .class = CNN_CLASS("layer", "Softmax", NULL, advanced, softmax_params, "e^x / Σ e^x along an axis."),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = call_softmax};
