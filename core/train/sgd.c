/* Stochastic gradient descent, with momentum or Nesterov's, as Keras has it. */
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
/*** Stochastic gradient descent: each step goes down the gradient, with momentum if wanted (Polyak 1964).

  w = w - learning_rate · g

With momentum:
  m = momentum · m - learning_rate · g
  w = w + m

With nesterov (Sutskever et al. 2013) the last line is w = w + momentum · m - learning_rate · g.
@class cnn.optimizers.SGD
@raise a learning rate below 0; two ways of clipping at once
@usage
w, g = cnn.tensor{1, 2}, cnn.tensor{1, -1}
sgd = cnn.optimizers.SGD{0.1}
sgd:apply_gradients({g}, {w})
w
--> float32 (2,)
--> [0.9 2.1]
sgd.learning_rate, sgd.iterations
--> 0.1
--> 1
*/
const cnn_optimizer_class cnn_optimizer_sgd = {.class = CNN_CLASS("optimizer", "SGD", NULL, sgd, params),
                                               .slot_count = 1,
                                               .slot_names = (const char *const[]){"momentum"},
                                               .keeps = keeps,
                                               .step = step};
