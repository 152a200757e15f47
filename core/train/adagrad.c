/* Adagrad, as Keras has it: epsilon stands under the root. */
#include "train/optimizer.h"
#include "kernels/kernels.h"

typedef struct adagrad {
    cnn_optimizer head;
    double start, epsilon;
} adagrad;

static const cnn_param params[] = {CNN_OPTIMIZER_RATE("0.001"),
                                   CNN_PARAM_NAMED(FLOAT, adagrad, start, "initial_accumulator_value", "0.1",
                                                   .low = 0, .high = INFINITY,
                                                   .help = "first value of the sums of squares"),
                                   CNN_PARAM(FLOAT, adagrad, epsilon, "1e-7", .low = 0, .high = INFINITY,
                                             .help = "keeps the divisor from 0"),
                                   CNN_OPTIMIZER_DECAY("null"),
                                   CNN_OPTIMIZER_CLIP_AND_NAME("\"adagrad\""),
                                   {0}};

static bool keeps(const cnn_optimizer *optimizer, int slot, float *start) {
    (void)slot;
    *start = (float)((const adagrad *)optimizer)->start;
    return true;
}

static void step(const cnn_optimizer *optimizer, double rate, int64_t t, float *weights,
                 const float *gradient, float *const *slots, int64_t count) {
    (void)t;
    cnn_kernel()->step_adagrad(count, weights, gradient, slots[0], rate,
                               ((const adagrad *)optimizer)->epsilon);
}

extern const cnn_optimizer_class cnn_optimizer_adagrad;
/*** Steps that shrink with the sum of squared gradients of each weight (Duchi et al. 2011).
Weights that rarely have a gradient keep taking large steps. From v = initial_accumulator_value on:
  v = v + g²
  w = w - learning_rate · g / sqrt(v + epsilon)
@class cnn.optimizers.Adagrad
@raise a learning rate below 0; two ways of clipping at once
@usage
w, g = cnn.tensor{1}, cnn.tensor{2}
adagrad = cnn.optimizers.Adagrad{1, initial_accumulator_value = 0}
for step = 1, 3 do adagrad:apply_gradients({g}, {w}) print(("%.3f"):format(w:item())) end
--> 0.000
--> -0.707
--> -1.284
*/
const cnn_optimizer_class cnn_optimizer_adagrad = {
    .class = CNN_CLASS("optimizer", "Adagrad", NULL, adagrad, params),
    .slot_count = 1,
    .slot_names = (const char *const[]){"accumulator"},
    .keeps = keeps,
    .step = step};
