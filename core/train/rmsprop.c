/* RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012), as Keras has it:
 *   v = rho·v + (1 - rho)·g²
 *   s = rate·g / √(v + epsilon)          centered: v - mean² in place of v, with mean = rho·mean + (1 -
 * rho)·g w -= s                               with momentum: m = momentum·m + s;  w -= m */
#include "train/optimizer.h"
#include "kernels/kernels.h"

typedef struct rmsprop {
    cnn_optimizer head;
    double rho, momentum, epsilon;
    bool centered;
} rmsprop;

enum { VELOCITY, MOMENTUM, MEAN };

static const cnn_param params[] = {
    CNN_OPTIMIZER_RATE("0.001"),
    CNN_PARAM(FLOAT, rmsprop, rho, "0.9", .low = 0, .high = 1,
              .help = "how slowly the mean of squared gradients moves"),
    CNN_PARAM(FLOAT, rmsprop, momentum, "0", .low = 0, .high = 1,
              .help = "share of the last step that goes on in this one"),
    CNN_PARAM(FLOAT, rmsprop, epsilon, "1e-7", .low = 0, .high = INFINITY,
              .help = "keeps the divisor from 0"),
    CNN_PARAM(BOOL, rmsprop, centered, "false", .help = "divide by the gradient's deviation from its mean"),
    CNN_OPTIMIZER_DECAY("null"),
    CNN_OPTIMIZER_CLIP_AND_NAME("\"rmsprop\""),
    {0}};

static bool keeps(const cnn_optimizer *optimizer, int slot, float *start) {
    const rmsprop *o = (const rmsprop *)optimizer;
    (void)start;
    return slot == VELOCITY || (slot == MOMENTUM ? o->momentum != 0 : o->centered);
}

static void step(const cnn_optimizer *optimizer, double rate, int64_t t, float *weights,
                 const float *gradient, float *const *slots, int64_t count) {
    const rmsprop *o = (const rmsprop *)optimizer;
    (void)t;
    cnn_kernel()->step_rmsprop(count, weights, gradient, slots[VELOCITY], slots[MOMENTUM], slots[MEAN], rate,
                               o->rho, o->momentum, o->epsilon);
}

extern const cnn_optimizer_class cnn_optimizer_rmsprop;
const cnn_optimizer_class cnn_optimizer_rmsprop = {
    .class = CNN_CLASS("optimizer", "RMSprop", NULL, rmsprop, params,
                       "Divides the gradient by a running mean of its size."),
    .slot_count = 3,
    .slot_names = (const char *const[]){"velocity", "momentum", "average_gradient"},
    .keeps = keeps,
    .step = step};
