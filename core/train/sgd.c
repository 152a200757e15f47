/* Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013), as Keras
 * has it: w -= rate·g m = momentum·m - rate·g;  w += m  (nesterov: w += momentum·m - rate·g) */
#include "train/optimizer.h"
#include "kernels/kernels.h"

typedef struct sgd {
    cnn_optimizer head;
    double momentum;
    bool nesterov;
} sgd;

static const cnn_param params[] = {
    CNN_OPTIMIZER_RATE("0.01"),
    CNN_PARAM(FLOAT, sgd, momentum, "0", .low = 0, .high = 1,
              .help = "share of the last step that goes on in this one"),
    CNN_PARAM(BOOL, sgd, nesterov, "false", .help = "take the gradient's step from where momentum leads"),
    CNN_OPTIMIZER_DECAY("null"),
    CNN_OPTIMIZER_CLIP_AND_NAME("\"SGD\""),
    {0}};

static bool keeps(const cnn_optimizer *optimizer, int slot, float *start) {
    (void)slot, (void)start;
    return ((const sgd *)optimizer)->momentum != 0;
}

static void step(const cnn_optimizer *optimizer, double rate, int64_t t, float *weights,
                 const float *gradient, float *const *slots, int64_t count) {
    const sgd *o = (const sgd *)optimizer;
    (void)t;
    cnn_kernel()->step_sgd(count, weights, gradient, slots[0], rate, o->momentum, o->nesterov);
}

extern const cnn_optimizer_class cnn_optimizer_sgd;
const cnn_optimizer_class cnn_optimizer_sgd = {
    .class = CNN_CLASS("optimizer", "SGD", NULL, sgd, params, "Stochastic gradient descent, with momentum."),
    .slot_count = 1,
    .slot_names = (const char *const[]){"momentum"},
    .keeps = keeps,
    .step = step};
