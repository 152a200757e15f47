/* Adam, in the form before section 2.1 of its paper that Keras has: epsilon is added to √v before the bias correction.
 * AdamW is Adam with weight decay by default. */
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
/*** Steps of a size of their own for each weight, by running means of gradient and square (Kingma and Ba 2014).
The first step changes each weight by about the learning rate, whatever the gradient's size. In step t:
  m = beta_1 · m + (1 - beta_1) · g
  v = beta_2 · v + (1 - beta_2) · g²
  a = learning_rate · sqrt(1 - beta_2^t) / (1 - beta_1^t)
  w = w - a · m / (sqrt(v) + epsilon)

a makes up for m and v beginning at 0. With amsgrad the highest v so far counts (Reddi et al. 2018).
@class cnn.optimizers.Adam
@raise a learning rate below 0; two ways of clipping at once
@usage
w, g = cnn.tensor{1, 1}, cnn.tensor{100, -0.01}      -- gradients of very different size
cnn.optimizers.Adam{0.1}:apply_gradients({g}, {w})
("%.3f, %.3f"):format(w[1], w[2])  --> 0.900, 1.100
*/
const cnn_optimizer_class cnn_optimizer_adam = {.class =
                                                    CNN_CLASS("optimizer", "Adam", NULL, adam, adam_params),
                                                .slot_count = 3,
                                                .slot_names = slot_names,
                                                .keeps = keeps,
                                                .step = step};

/*** Adam with weights that decay apart from the gradient (Loshchilov and Hutter 2017).
Before each step w = w - learning_rate · weight_decay · w; then Adam's. Unlike a regularizer's the pull towards 0 is
not divided by the gradient's size.
@class cnn.optimizers.AdamW
@raise a learning rate below 0; two ways of clipping at once
@usage
w, g = cnn.tensor{1, -1}, cnn.zeros{2}
cnn.optimizers.AdamW{0.1, weight_decay = 0.5}:apply_gradients({g}, {w})
w
--> float32 (2,)
--> [ 0.95 -0.95]
*/
const cnn_optimizer_class cnn_optimizer_adamw = {
    .class = CNN_CLASS("optimizer", "AdamW", NULL, adam, adamw_params),
    .slot_count = 3,
    .slot_names = slot_names,
    .keeps = keeps,
    .step = step};
