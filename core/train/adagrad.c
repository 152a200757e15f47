/* Adagrad (Duchi, Hazan and Singer 2011), as Keras has it:
 *   a += g²;  w -= rate·g / √(a + epsilon) */
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
const cnn_optimizer_class cnn_optimizer_adagrad = {
    .class = CNN_CLASS("optimizer", "Adagrad", NULL, adagrad, params,
                       "Steps that shrink with the sum of squared gradients of each weight."),
    .slot_count = 1,
    .slot_names = (const char *const[]){"accumulator"},
    .keeps = keeps,
    .step = step};
