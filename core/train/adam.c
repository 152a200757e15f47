/* Adam (Kingma and Ba 2014) in the form before its section 2.1 that Keras has, AMSGrad (Reddi et al. 2018),
 * and AdamW (Loshchilov and Hutter 2017), which is Adam with weight decay by default: m += (g - m)·(1 -
 * beta_1) v += (g² - v)·(1 - beta_2)           amsgrad: v below is the highest v so far w -= alpha·m / (√v +
 * epsilon),       alpha = rate·√(1 - beta_2^t) / (1 - beta_1^t) */
#include "train/optimizer.h"
#include "kernels/kernels.h"

#include <math.h>

typedef struct adam {
    cnn_optimizer head;
    double beta_1, beta_2, epsilon;
    bool amsgrad;
} adam;

enum { MOMENTUM, VELOCITY, HIGHEST };

#define ADAM_PARAMS                                                                                          \
    CNN_PARAM(FLOAT, adam, beta_1, "0.9", .low = 0, .high = 1,                                               \
              .help = "how slowly the mean of gradients moves"),                                             \
        CNN_PARAM(FLOAT, adam, beta_2, "0.999", .low = 0, .high = 1,                                         \
                  .help = "how slowly the mean of squared gradients moves"),                                 \
        CNN_PARAM(FLOAT, adam, epsilon, "1e-7", .low = 0, .high = INFINITY,                                  \
                  .help = "keeps the divisor from 0"),                                                       \
        CNN_PARAM(BOOL, adam, amsgrad, "false", .help = "divide by the highest mean so far")

static const cnn_param adam_params[] = {CNN_OPTIMIZER_RATE("0.001"),
                                        ADAM_PARAMS,
                                        CNN_OPTIMIZER_DECAY("null"),
                                        CNN_OPTIMIZER_CLIP_AND_NAME("\"adam\""),
                                        {0}};

static const cnn_param adamw_params[] = {CNN_OPTIMIZER_RATE("0.001"),
                                         CNN_OPTIMIZER_DECAY("0.004"),
                                         ADAM_PARAMS,
                                         CNN_OPTIMIZER_CLIP_AND_NAME("\"adamw\""),
                                         {0}};

static bool keeps(const cnn_optimizer *optimizer, int slot, float *start) {
    (void)start;
    return slot != HIGHEST || ((const adam *)optimizer)->amsgrad;
}

static void step(const cnn_optimizer *optimizer, double rate, int64_t t, float *weights,
                 const float *gradient, float *const *slots, int64_t count) {
    const adam *o = (const adam *)optimizer;
    double alpha = rate * sqrt(1 - pow(o->beta_2, (double)t)) / (1 - pow(o->beta_1, (double)t));
    cnn_kernel()->step_adam(count, weights, gradient, slots[MOMENTUM], slots[VELOCITY], slots[HIGHEST], alpha,
                            o->beta_1, o->beta_2, o->epsilon);
}

static const char *const slot_names[] = {"momentum", "velocity", "velocity_hat"};

extern const cnn_optimizer_class cnn_optimizer_adam, cnn_optimizer_adamw;
const cnn_optimizer_class cnn_optimizer_adam = {
    .class = CNN_CLASS(
        "optimizer", "Adam", NULL, adam, adam_params,
        "Steps of a size of their own for each weight, from running means of its gradient and its square."),
    .slot_count = 3,
    .slot_names = slot_names,
    .keeps = keeps,
    .step = step};

const cnn_optimizer_class cnn_optimizer_adamw = {
    .class = CNN_CLASS("optimizer", "AdamW", NULL, adam, adamw_params,
                       "Adam with weights that decay apart from the gradient."),
    .slot_count = 3,
    .slot_names = slot_names,
    .keeps = keeps,
    .step = step};
