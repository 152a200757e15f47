/* Layers that disturb their input in training and pass it on otherwise: GaussianNoise, GaussianDropout and the
 * dropouts of whole channels. */
#include "layers/layer.h"
#include "base/status.h"
#include "ops/noise.h"

#include <math.h>

typedef struct noise {
    cnn_layer layer;
    double stddev, rate;
    int data_format;
    int seed;       /* INT_MIN: none was given */
    int drawn_seed; /* the one used */
} noise;

#define SEED_PARAM                                                                                           \
    CNN_PARAM(INT, noise, seed, "null", .nullable = true,                                                    \
              .help = "of the random choice; nil draws one from the default generator")

static const cnn_param noise_params[] = {
    CNN_PARAM(FLOAT, noise, stddev, NULL, .low = 0, .help = "the noise's standard deviation"),
    SEED_PARAM,
    CNN_LAYER_PARAMS,
    {0}};

static const cnn_param dropout_params[] = {
    CNN_PARAM(FLOAT, noise, rate, NULL, .low = 0, .high = 1,
              .help = "the noise's standard deviation is sqrt(rate / (1 - rate)); below 1"),
    SEED_PARAM,
    CNN_LAYER_PARAMS,
    {0}};

/* Keras 3's constructors do not take trainable, and Keras 2 wrote what they inherit from Dropout. */
#define CHANNEL_PARAMS                                                                                       \
    SEED_PARAM, CNN_LAYER_PARAMS_BUT(.derived = true, cnn_policy_spec, .derived = true),                     \
        CNN_UNSUPPORTED_PARAM("noise_shape", .derived = true)
#define CHANNEL_RATE_PARAM                                                                                   \
    CNN_PARAM(FLOAT, noise, rate, NULL, .low = 0, .high = 1,                                                 \
              .help = "the part of the channels that is dropped")

static const cnn_param spatial1d_params[] = {CHANNEL_RATE_PARAM, CHANNEL_PARAMS, {0}};

static const cnn_param spatial2d_params[] = {CHANNEL_RATE_PARAM,
                                             CNN_PARAM(CHOICE, noise, data_format, "\"channels_last\"",
                                                       .choices = "channels_last", .nullable = true,
                                                       .help = "only 'channels_last'"),
                                             CHANNEL_PARAMS,
                                             {0}};

static cnn_status init(cnn_layer *layer) {
    noise *self = (noise *)layer;
    if (!(self->rate < 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'rate' must be below 1, got %g", layer->class->name,
                        self->rate);
    self->drawn_seed = cnn_layer_seed(self->seed);
    return CNN_OK;
}

static cnn_status call_noise(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                             bool training) {
    const noise *self = (noise *)layer;
    (void)n;
    cnn_noise attributes = {&cnn_op_gaussian_noise.class, self->stddev, self->drawn_seed};
    return cnn_op_apply(out, &cnn_op_gaussian_noise, &attributes, inputs, 1, training);
}

static cnn_status call_dropout(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    const noise *self = (noise *)layer;
    (void)n;
    cnn_noise attributes = {&cnn_op_gaussian_dropout.class, sqrt(self->rate / (1 - self->rate)),
                            self->drawn_seed};
    return cnn_op_apply(out, &cnn_op_gaussian_dropout, &attributes, inputs, 1, training);
}

static cnn_status drop_channels(const noise *self, cnn_tensor **out, cnn_tensor *const *inputs,
                                bool training) {
    cnn_dropout attributes = {&cnn_op_spatial_dropout.class, self->rate, self->drawn_seed};
    return cnn_op_apply(out, &cnn_op_spatial_dropout, &attributes, inputs, 1, training);
}

static cnn_status call_spatial1d(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                 bool training) {
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 3, "[N,L,C]"));
    return drop_channels((noise *)layer, out, inputs, training);
}

static cnn_status call_spatial2d(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                 bool training) {
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    return drop_channels((noise *)layer, out, inputs, training);
}

extern const cnn_layer_class cnn_layer_gaussian_noise, cnn_layer_gaussian_dropout,
    cnn_layer_spatial_dropout1d, cnn_layer_spatial_dropout2d;

const cnn_layer_class cnn_layer_gaussian_noise = {
    .class = CNN_CLASS("layer", "GaussianNoise", NULL, noise, noise_params,
                       "In training, adds normal numbers of mean 0 to x; else passes x on."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_noise};

const cnn_layer_class cnn_layer_gaussian_dropout = {
    .class = CNN_CLASS("layer", "GaussianDropout", NULL, noise, dropout_params,
                       "In training, multiplies x with normal numbers of mean 1; else passes x on."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_dropout};

const cnn_layer_class cnn_layer_spatial_dropout1d = {
    .class = CNN_CLASS("layer", "SpatialDropout1D", NULL, noise, spatial1d_params,
                       "In training, sets random channels of x [N,L,C] to 0 and scales the others up."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_spatial1d};

const cnn_layer_class cnn_layer_spatial_dropout2d = {
    .class = CNN_CLASS("layer", "SpatialDropout2D", NULL, noise, spatial2d_params,
                       "In training, sets random channels of x [N,H,W,C] to 0 and scales the others up."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_spatial2d};
