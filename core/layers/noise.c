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
              .help = "of the random choice: calls by hand then repeat in every run; nil: by chance")

static const cnn_param noise_params[] = {CNN_PARAM(FLOAT, noise, stddev, NULL, .low = 0, .high = INFINITY,
                                                   .help = "the noise's standard deviation"),
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
                                                       .help = "channels come last, nothing else"),
                                             CHANNEL_PARAMS,
                                             {0}};

static cnn_status init(cnn_layer *layer) {
    noise *self = (noise *)layer;
    if (!(self->rate < 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'rate' must be below 1, got %g", layer->class->name,
                        self->rate);
    self->drawn_seed = cnn_layer_seed(layer, self->seed);
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

/*** In training, adds normal random numbers of mean 0; in inference passes x on.
Pictures that never come twice alike work against overfitting. x to the same shape; drawn anew at each step.
@class cnn.layers.GaussianNoise
@usage
cnn.utils.set_random_seed(1)
noise = layers.GaussianNoise{0.1}
noise(cnn.ones{1, 4}, {training = true})
--> float32 (1, 4)
--> [[1.0532461 1.0954883 0.8146399 0.9871216]]
noise(cnn.ones{1, 4})
--> float32 (1, 4)
--> [[1. 1. 1. 1.]]
*/
const cnn_layer_class cnn_layer_gaussian_noise = {
    .class = CNN_CLASS("layer", "GaussianNoise", NULL, noise, noise_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_noise};

/*** In training, multiplies with normal random numbers of mean 1; in inference passes x on.
Their standard deviation is sqrt(rate / (1 - rate)), so that the noise is as strong as that of Dropout with this rate
(Srivastava et al. 2014), but nothing is lost altogether. x to the same shape.
@class cnn.layers.GaussianDropout
@raise a rate below 0, or 1 and more
@usage
cnn.utils.set_random_seed(1)
layers.GaussianDropout{0.2}(cnn.ones{1, 4}, {training = true})
--> float32 (1, 4)
--> [[1.266231   1.4774417  0.07319975 0.9356078 ]]
*/
const cnn_layer_class cnn_layer_gaussian_dropout = {
    .class = CNN_CLASS("layer", "GaussianDropout", NULL, noise, dropout_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_dropout};

/*** In training, sets whole channels of sequences to 0, by chance, and divides the others by 1 - rate.
As SpatialDropout2D does with pictures. x [N,L,C] to the same shape; in inference x as it is.
@class cnn.layers.SpatialDropout1D
@raise an input that is not [N,L,C]; a rate below 0, or 1 and more
@usage
cnn.utils.set_random_seed(1)
layers.SpatialDropout1D{0.5}(cnn.ones{1, 3, 4}, {training = true})
--> float32 (1, 3, 4)
--> [[[2. 2. 0. 0.]
-->   [2. 2. 0. 0.]
-->   [2. 2. 0. 0.]]]
*/
const cnn_layer_class cnn_layer_spatial_dropout1d = {
    .class = CNN_CLASS("layer", "SpatialDropout1D", NULL, noise, spatial1d_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_spatial1d};

/*** In training, sets whole channels of pictures to 0, by chance, and divides the others by 1 - rate.
After a convolution neighbouring cells tell nearly the same, so that Dropout of single cells takes hardly anything
away; a whole channel is missed (Tompson et al. 2015). x [N,H,W,C] to the same shape; in inference x as it is.
@class cnn.layers.SpatialDropout2D
@raise an input that is not [N,H,W,C]; a rate below 0, or 1 and more
@usage
cnn.utils.set_random_seed(1)
x = layers.SpatialDropout2D{0.5}(cnn.ones{1, 8, 8, 4}, {training = true})
x:mean{{2, 3}}
--> float32 (1, 4)
--> [[2. 2. 0. 0.]]
*/
const cnn_layer_class cnn_layer_spatial_dropout2d = {
    .class = CNN_CLASS("layer", "SpatialDropout2D", NULL, noise, spatial2d_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call_spatial2d};
