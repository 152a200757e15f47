/* Dropout: in training, zeros a random part of its input. */
#include "layers/layer.h"
#include "base/status.h"
#include "ops/dropout.h"

typedef struct dropout {
    cnn_layer layer;
    double rate;
    int seed;       /* INT_MIN: none was given */
    int drawn_seed; /* the one used */
} dropout;

static const cnn_param params[] = {
    CNN_PARAM(FLOAT, dropout, rate, NULL, .low = 0, .high = 1,
              .help = "the part that is dropped, below 1; what is kept is scaled by 1 / (1 - rate)"),
    CNN_UNSUPPORTED_PARAM("noise_shape"),
    CNN_PARAM(INT, dropout, seed, "null", .nullable = true,
              .help = "of the random choice; nil draws one from the default generator"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init(cnn_layer *layer) {
    dropout *self = (dropout *)layer;
    if (!(self->rate < 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "Dropout: 'rate' must be below 1, got %g", self->rate);
    self->drawn_seed = cnn_layer_seed(self->seed);
    return CNN_OK;
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    const dropout *self = (dropout *)layer;
    (void)n_inputs;
    cnn_dropout attributes = {.class = &cnn_op_dropout.class, .rate = self->rate, .seed = self->drawn_seed};
    return cnn_op_apply(out, &cnn_op_dropout, &attributes, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_dropout;
const cnn_layer_class cnn_layer_dropout = {
    .class = CNN_CLASS("layer", "Dropout", NULL, dropout, params,
                       "In training, sets a random part of x to 0 and scales the rest up; else passes x on."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call};
