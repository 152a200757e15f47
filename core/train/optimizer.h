/* Optimizers: what turns gradients into steps of the weights, in one pass over memory per step. */
#ifndef CNN_TRAIN_OPTIMIZER_H
#define CNN_TRAIN_OPTIMIZER_H

#include "base/config.h"

#include <math.h>

enum { CNN_MAX_SLOTS = 4 };

typedef struct cnn_optimizer cnn_optimizer;

/* One variable of a step. */
typedef struct cnn_update {
    float *weights;
    float
        *gradient; /* [size]; clipping and regularization may change it. NULL: the variable stays as it is */
    int64_t size;
    float l1, l2; /* the regularizer's share l1·sign(w) + 2·l2·w is added to the gradient first */
} cnn_update;

typedef struct cnn_optimizer_class {
    cnn_class class;
    int slot_count;                /* floats of state a weight */
    const char *const *slot_names; /* Keras's: "momentum", "velocity" */
    /* Whether this configuration keeps a slot, and its first value (preset to 0); NULL: it keeps all, at 0. */
    bool (*keeps)(const cnn_optimizer *optimizer, int slot, float *start);
    /* One step on `count` consecutive weights; t counts from 1; rate is this step's learning rate. */
    void (*step)(const cnn_optimizer *optimizer, double rate, int64_t t, float *weights,
                 const float *gradient, float *const *slots, int64_t count);
} cnn_optimizer_class;

/* The common head; each optimizer's struct begins with it. */
struct cnn_optimizer {
    const cnn_class *class; /* a cnn_optimizer_class */
    cJSON *learning_rate;   /* a number, or {"class_name": "ExponentialDecay", "config": {…}} */
    double clipnorm, clipvalue, global_clipnorm; /* NaN: none */
    double weight_decay;                         /* NaN: none; decoupled: w -= rate·decay·w */
    char *name;
    /* state */
    struct cnn_schedule *schedule; /* NULL: the rate below */
    double rate;
    int64_t iterations;
    int variable_count;
    int64_t *sizes; /* of each variable */
    float **slots;  /* [variable·slot_count + slot], each of the variable's size; NULL where not kept */
    double *norms;  /* scratch of clipping by norm; NULL where that is not asked for */
};

/* The arguments all optimizers share, for their tables; Keras puts them in this order, the rate first. */
#define CNN_OPTIMIZER_RATE(default_rate)                                                                     \
    CNN_PARAM(JSON, cnn_optimizer, learning_rate, default_rate,                                              \
              .help = "step size: a number, or a schedule of it")
#define CNN_OPTIMIZER_DECAY(default_decay)                                                                   \
    CNN_PARAM(FLOAT, cnn_optimizer, weight_decay, default_decay, .low = 0, .high = INFINITY,                 \
              .nullable = true, .help = "before each step, w -= learning_rate * weight_decay * w")
#define CNN_OPTIMIZER_CLIP_AND_NAME(default_name)                                                            \
    CNN_PARAM(FLOAT, cnn_optimizer, clipnorm, "null", .nullable = true,                                      \
              .help = "scale each gradient down to at most this norm"),                                      \
        CNN_PARAM(FLOAT, cnn_optimizer, clipvalue, "null", .nullable = true,                                 \
                  .help = "clip each element of gradients to +- this"),                                      \
        CNN_PARAM(FLOAT, cnn_optimizer, global_clipnorm, "null", .nullable = true,                           \
                  .help = "scale all gradients down together to at most this norm"),                         \
        CNN_PARAM(STRING, cnn_optimizer, name, default_name, .help = "name of the optimizer")

extern const cnn_class *const cnn_optimizers[]; /* SGD, RMSprop, Adam, AdamW, Adagrad; NULL-terminated */
extern const cnn_class *const cnn_schedules[];  /* ExponentialDecay, CosineDecay, PiecewiseConstantDecay */

/* spec: "adam", or {"class_name", "config"}. */
cnn_status cnn_optimizer_new(cnn_optimizer **out, const cJSON *spec);
void cnn_optimizer_free(cnn_optimizer *optimizer);
cJSON *cnn_optimizer_config(const cnn_optimizer *optimizer);

/* The rate the next step will use; setting it is an error where a schedule does. */
double cnn_optimizer_rate(const cnn_optimizer *optimizer);
cnn_status cnn_optimizer_set_rate(cnn_optimizer *optimizer, double rate);

/* Whether this optimizer keeps the slot, and the value it starts at. */
bool cnn_optimizer_keeps(const cnn_optimizer *optimizer, int slot, float *start);

/* Makes the slots for these variables if they are not there yet. The same variables must come in each step. */
cnn_status cnn_optimizer_build(cnn_optimizer *optimizer, const cnn_update *updates, int count);

/* Lets go of the state, as if no step had been. */
void cnn_optimizer_forget(cnn_optimizer *optimizer);

/* One step on all variables: regularization, clipping, the update; parallel, the same for any number of threads. */
cnn_status cnn_optimizer_step(cnn_optimizer *optimizer, const cnn_update *updates, int count);

#endif
