/* Activations that are layers of their own, with arguments or weights: ReLU, LeakyReLU, ELU, PReLU, Softmax. All but
 * PReLU are one op with attributes, which other layers may have as their activation. */
#include "layers/layer.h"
#include "layers/activation.h"
#include "layers/initializer.h"
#include "base/status.h"
#include "ops/activation.h"
#include "ops/piecewise.h"
#include "ops/softmax.h"

#include <math.h>
#include <string.h>

typedef struct advanced {
    cnn_layer layer;
    double max_value, negative_slope, threshold, alpha;
    cJSON *axis;
    cnn_shape shared_axes;
    cJSON *alpha_initializer, *alpha_regularizer;
    cnn_activation activation; /* of all but PReLU */
    cnn_variable *alphas;      /* borrowed from the layer's list */
} advanced;

static void set_activation(cnn_layer *layer, const cnn_op *op, const void *attributes) {
    cnn_activation *activation = &((advanced *)layer)->activation;
    activation->op = op;
    memcpy(activation->attributes, attributes, op->class.size);
}

static cnn_status call_op(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                          bool training) {
    const cnn_activation *activation = &((advanced *)layer)->activation;
    (void)n;
    return cnn_op_apply(out, activation->op, activation->attributes, inputs, 1, training);
}

/* ---- ReLU ---------------------------------------------------------------------------------------------- */

static const cnn_param relu_params[] = {
    CNN_PARAM(FLOAT, advanced, max_value, "null", .nullable = true, .low = 0, .high = INFINITY,
              .help = "the largest result; nil: none"),
    CNN_PARAM(FLOAT, advanced, negative_slope, "0", .low = 0, .high = INFINITY,
              .help = "the slope below the threshold"),
    CNN_PARAM(FLOAT, advanced, threshold, "0", .low = 0, .high = INFINITY, .help = "where x begins to pass"),
    CNN_LAYER_PARAMS,
    {0}};

/* The plain case is the op that a plan fuses. */
static cnn_status init_relu(cnn_layer *layer) {
    const advanced *self = (advanced *)layer;
    cnn_activation_op simple = {.class = &cnn_op_relu.class, .parameter = self->negative_slope};
    if (!isnan(self->max_value) || self->threshold != 0) {
        cnn_bounded_relu bounded = {&cnn_op_bounded_relu.class, self->max_value, self->negative_slope,
                                    self->threshold};
        set_activation(layer, &cnn_op_bounded_relu, &bounded);
    } else if (self->negative_slope != 0) {
        simple.class = &cnn_op_leaky_relu.class;
        set_activation(layer, &cnn_op_leaky_relu, &simple);
    } else {
        set_activation(layer, &cnn_op_relu, &simple);
    }
    return CNN_OK;
}

extern const cnn_layer_class cnn_layer_relu, cnn_layer_leaky_relu, cnn_layer_elu, cnn_layer_prelu,
    cnn_layer_softmax;

/*** The rectifier as a layer, with more to choose than the activation "relu" has.

max_value where x ≥ max_value, x from threshold on, and negative_slope · (x - threshold) below. x to the same shape.
@class cnn.layers.ReLU
@raise a negative argument
@usage
layers.ReLU{}{{-2, 0.5, 8}}
--> float32 (1, 3)
--> [[0.  0.5 8. ]]
layers.ReLU{max_value = 6, negative_slope = 0.1}{{-2, 0.5, 8}}
--> float32 (1, 3)
--> [[-0.2  0.5  6. ]]
*/
const cnn_layer_class cnn_layer_relu = {.class = CNN_CLASS("layer", "ReLU", NULL, advanced, relu_params),
                                        .min_inputs = 1,
                                        .max_inputs = 1,
                                        .init = init_relu,
                                        .call = call_op};

/* ---- LeakyReLU and ELU --------------------------------------------------------------------------------- */

static const cnn_param leaky_params[] = {
    CNN_PARAM(FLOAT, advanced, negative_slope, "0.3", .low = 0, .high = INFINITY, .only = CNN_KERAS_3,
              .help = "the slope below 0"),
    CNN_PARAM(FLOAT, advanced, alpha, "null", .nullable = true, .low = 0, .high = INFINITY,
              .only = CNN_KERAS_2, .help = "an older name of negative_slope"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_leaky(cnn_layer *layer) {
    advanced *self = (advanced *)layer;
    if (!isnan(self->alpha)) self->negative_slope = self->alpha;
    self->alpha = self->negative_slope;
    cnn_activation_op a = {.class = &cnn_op_leaky_relu.class, .parameter = self->negative_slope};
    set_activation(layer, &cnn_op_leaky_relu, &a);
    return CNN_OK;
}

/*** x where it is positive, negative_slope · x elsewhere (Maas et al. 2013).
No unit dies, for its gradient never is 0. As a layer the slope is 0.3 unless it is given; the activation "leaky_relu"
has 0.2, as in Keras.
@class cnn.layers.LeakyReLU
@raise a negative slope
@usage
layers.LeakyReLU{0.1}{{-2, 0, 3}}
--> float32 (1, 3)
--> [[-0.2  0.   3. ]]
*/
const cnn_layer_class cnn_layer_leaky_relu = {
    .class = CNN_CLASS("layer", "LeakyReLU", NULL, advanced, leaky_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_leaky,
    .call = call_op};

static const cnn_param elu_params[] = {
    CNN_PARAM(FLOAT, advanced, alpha, "1", .low = 0, .high = INFINITY, .help = "minus the limit far below 0"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_elu(cnn_layer *layer) {
    cnn_activation_op a = {.class = &cnn_op_elu.class, .parameter = ((advanced *)layer)->alpha};
    set_activation(layer, &cnn_op_elu, &a);
    return CNN_OK;
}

/*** x where it is positive, alpha · (e^x - 1) elsewhere: smooth, and never below -alpha (Clevert et al. 2015).
@class cnn.layers.ELU
@raise a negative alpha
@usage
layers.ELU{}{{-10, -1, 0, 3}}
--> float32 (1, 4)
--> [[-0.9999546  -0.63212055  0.          3.        ]]
*/
const cnn_layer_class cnn_layer_elu = {.class = CNN_CLASS("layer", "ELU", NULL, advanced, elu_params),
                                       .min_inputs = 1,
                                       .max_inputs = 1,
                                       .init = init_elu,
                                       .call = call_op};

/* ---- PReLU --------------------------------------------------------------------------------------------- */

static const cnn_param prelu_params[] = {
    CNN_INITIALIZER_PARAM(advanced, alpha_initializer, "alpha_initializer", "\"zeros\"",
                          "how the slopes start"),
    CNN_REGULARIZER_PARAM(advanced, alpha_regularizer, "alpha_regularizer",
                          "what keeps the slopes small, as of Dense"),
    CNN_UNSUPPORTED_PARAM("alpha_constraint"),
    CNN_PARAM(SHAPE, advanced, shared_axes, "null",
              .help = "axes, from 1, along which one slope serves all: {1, 2} for pictures"),
    CNN_LAYER_PARAMS,
    {0}};

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

/*** x where it is positive, a learned slope times x elsewhere (He et al. 2015).

x [N,…] to the same shape; the weight alpha has a slope for each element of a sample, or with shared_axes = {1, 2} one
for each channel of a picture.
@class cnn.layers.PReLU
@raise a shared axis that is not there, counted from 1 without the batch's
@usage
prelu = layers.PReLU{alpha_initializer = cnn.initializers.Constant{0.25}}
prelu{{-2, 0, 3}}
--> float32 (1, 3)
--> [[-0.5  0.   3. ]]
shared = layers.PReLU{shared_axes = {1, 2}}
shared(cnn.zeros{1, 28, 28, 32})
shared:get_weights()  --> {tensor float32 (1, 1, 32)}
*/
const cnn_layer_class cnn_layer_prelu = {.class = CNN_CLASS("layer", "PReLU", NULL, advanced, prelu_params),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .build = build_prelu,
                                         .call = call_prelu};

/* ---- Softmax ------------------------------------------------------------------------------------------- */

static const cnn_param softmax_params[] = {
    CNN_PARAM(JSON, advanced, axis, "-1", .help = "the axis along which the results sum to 1"),
    CNN_LAYER_PARAMS,
    {0}};

/* Keras takes a list of axes too. */
static cnn_status init_softmax(cnn_layer *layer) {
    const cJSON *axis = ((advanced *)layer)->axis;
    if (cJSON_IsArray(axis) && cJSON_GetArraySize(axis) == 1) axis = axis->child;
    if (!cJSON_IsNumber(axis) || axis->valuedouble != axis->valueint)
        return cnn_fail(CNN_ERROR_ARGUMENT, "Softmax: 'axis' must be one whole number");
    cnn_softmax a = {&cnn_op_softmax.class, axis->valueint};
    set_activation(layer, &cnn_op_softmax, &a);
    return CNN_OK;
}

/*** Makes probabilities of numbers: e^x / Σ e^x along an axis.
Each is between 0 and 1, and they sum to 1. x to the same shape. The axis is counted from 0, the batch's, or from the
end.
@class cnn.layers.Softmax
@raise an axis that is not there
@usage
layers.Softmax{}{{1, 1, 2}, {7, 7, 7}}
--> float32 (2, 3)
--> [[0.21194157 0.21194157 0.5761169 ]
-->  [0.33333334 0.33333334 0.33333334]]
*/
const cnn_layer_class cnn_layer_softmax = {.class =
                                               CNN_CLASS("layer", "Softmax", NULL, advanced, softmax_params),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .init = init_softmax,
                                           .call = call_op};

/* ---- as activations of other layers ------------------------------------------------------------------------ */

static const cnn_class *const layers[] = {&cnn_layer_relu.class, &cnn_layer_leaky_relu.class,
                                          &cnn_layer_elu.class, &cnn_layer_softmax.class, NULL};

cnn_status cnn_activation_from_layer(cnn_activation *activation, bool *found, const cJSON *spec) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(spec, "class_name");
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(spec, "config");
    int i = 0;
    while (layers[i] && !(cJSON_IsString(name) && strcmp(layers[i]->name, name->valuestring) == 0)) i++;
    *found = layers[i];
    if (!layers[i]) return CNN_OK;
    void *object; /* not made as a layer: it needs no name of its own */
    CNN_TRY(cnn_object_new(&object, layers[i], cJSON_IsNull(config) ? NULL : config));
    cnn_status status = ((const cnn_layer_class *)layers[i])->init(object);
    if (status == CNN_OK) *activation = ((advanced *)object)->activation;
    cnn_object_free(object);
    return status;
}

/* The layer whose op this is, its arguments set. */
static const cnn_class *as_layer(advanced *layer, const cnn_activation *activation) {
    const cnn_activation_op *simple = (const void *)activation->attributes;
    const cnn_bounded_relu *bounded = (const void *)activation->attributes;
    if (activation->op == &cnn_op_leaky_relu) {
        layer->alpha = layer->negative_slope = simple->parameter;
        return &cnn_layer_leaky_relu.class;
    }
    if (activation->op == &cnn_op_elu) {
        layer->alpha = simple->parameter;
        return &cnn_layer_elu.class;
    }
    if (activation->op == &cnn_op_softmax) {
        layer->axis = cJSON_CreateNumber(((const cnn_softmax *)(const void *)activation->attributes)->axis);
        return layer->axis ? &cnn_layer_softmax.class : NULL;
    }
    bool bounds = activation->op == &cnn_op_bounded_relu;
    layer->max_value = bounds ? bounded->max_value : 6;
    layer->negative_slope = bounds ? bounded->negative_slope : 0;
    layer->threshold = bounds ? bounded->threshold : 0;
    return bounds || activation->op == &cnn_op_relu6 ? &cnn_layer_relu.class : NULL;
}

/* Without a name: nobody refers to it, and Keras gives it one. */
cJSON *cnn_activation_layer_json(const cnn_activation *activation, cnn_keras keras) {
    advanced layer = {0};
    layer.layer.trainable = true;
    const cnn_class *class = as_layer(&layer, activation);
    cJSON *json = NULL;
    if (class) {
        cJSON *config = cnn_params_write(cJSON_CreateObject(), class->params, &layer, keras);
        cJSON_DeleteItemFromObjectCaseSensitive(config, "name");
        json = cnn_keras_object(class->name, config, "keras.layers", keras);
    }
    cJSON_Delete(layer.axis);
    return json;
}
