/* RMSprop, as Keras has it: epsilon stands under the root. */
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
/*** Divides each gradient by a running root mean square of its own (Hinton 2012).
So all weights move about as fast.
  v = rho · v + (1 - rho) · g²
  w = w - learning_rate · g / sqrt(v + epsilon)

With centered the square of a running mean of g is taken off v; with momentum the steps gather: m = momentum · m +
step and w = w - m.
@class cnn.optimizers.RMSprop
@raise a learning rate below 0; two ways of clipping at once
@usage
w, g = cnn.tensor{1, 1}, cnn.tensor{100, 0.01}       -- gradients of very different size
cnn.optimizers.RMSprop{0.1, rho = 0}:apply_gradients({g}, {w})
("%.3f, %.3f"):format(w[1], w[2])  --> 0.900, 0.900
*/
const cnn_optimizer_class cnn_optimizer_rmsprop = {
    .class = CNN_CLASS("optimizer", "RMSprop", NULL, rmsprop, params),
    .slot_count = 3,
    .slot_names = (const char *const[]){"velocity", "momentum", "average_gradient"},
    .keeps = keeps,
    .step = step};
