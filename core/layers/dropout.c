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
              .help = "of the random choice: calls by hand then repeat in every run; nil: by chance"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init(cnn_layer *layer) {
    dropout *self = (dropout *)layer;
    if (!(self->rate < 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "Dropout: 'rate' must be below 1, got %g", self->rate);
    self->drawn_seed = cnn_layer_seed(layer, self->seed);
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
/*** Dropout: in training, a random part of the elements becomes 0 and the others are divided by 1 - rate.
So no unit can count on another being there, which works against overfitting (Srivastava et al. 2014), and sums stay
as large as they were. In inference x passes as it is. Which elements go is drawn anew at each step.
@class cnn.layers.Dropout
@raise a rate below 0, or 1 and more
@usage
cnn.utils.set_random_seed(1)
x = cnn.ones{1, 8}
layers.Dropout{0.5}(x, {training = true})
--> float32 (1, 8)
--> [[2. 2. 0. 0. 0. 2. 0. 2.]]
layers.Dropout{0.5}(x)
--> float32 (1, 8)
--> [[1. 1. 1. 1. 1. 1. 1. 1.]]
*/
const cnn_layer_class cnn_layer_dropout = {.class = CNN_CLASS("layer", "Dropout", NULL, dropout, params),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .init = init,
                                           .call = call};
