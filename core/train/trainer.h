/* What compile gives a model: an optimizer, a loss, metrics, and the plans that run them. */
#ifndef CNN_TRAIN_TRAINER_H
#define CNN_TRAIN_TRAINER_H

#include "model/model.h"
#include "model/plan.h"
#include "train/metric.h"
#include "train/optimizer.h"

typedef enum cnn_mode { CNN_MODE_TRAIN, CNN_MODE_TEST, CNN_MODE_PREDICT } cnn_mode;

enum { CNN_MAX_METRICS = 32, CNN_MAX_PLANS = 6 };

/* A plan and what it was made for. */
typedef struct cnn_cached_plan {
    cnn_plan *plan;
    float *seeds;        /* [batch] */
    cnn_update *updates; /* one a trainable variable */
    cnn_mode mode;
    int64_t batch;
    uint64_t signature; /* of the wiring, the label and what is trainable */
    uint64_t last_use;
    uint64_t weights_seen; /* the weights' version at its last run */
} cnn_cached_plan;

/* Metrics and the labels they were made for. */
typedef struct cnn_metric_state {
    cnn_metric *metrics[CNN_MAX_METRICS]; /* NULL until the first labels are seen */
    int64_t label_size;                   /* last size and rank of those */
    int label_rank;
} cnn_metric_state;

typedef struct cnn_trainer {
    cnn_optimizer *optimizer; /* NULL until compiled */
    void *loss;               /* attributes of a loss op, a cnn_object */
    int metric_count;
    cJSON *metric_specs[CNN_MAX_METRICS];
    char *metric_names[CNN_MAX_METRICS];
    cnn_metric_state measured;
    cnn_cached_plan plans[CNN_MAX_PLANS];
    int plan_count;
    uint64_t clock;   /* of plan uses */
    uint64_t weights; /* the weights' version: changes with every step and every call from outside */
    uint64_t seed;    /* with the iterations, keys dropout */
} cnn_trainer;

/* The model's trainer, made if there is none: predict works on a model not compiled. */
cnn_status cnn_trainer_of(cnn_trainer **out, cnn_model *model);
cnn_status cnn_trainer_expect_compiled(const cnn_model *model, const char *who);

/* One batch: data of the shapes the plan is made for. */
typedef struct cnn_batch {
    int64_t count;
    const void *x, *y;
    const cnn_tensor *label; /* dtype and shape of y; the first size is ignored */
    const float *weight;     /* [count] or NULL */
} cnn_batch;

/* Runs the batch. TRAIN: one optimizer step. loss: mean of the samples' weighted losses, with regularization.
 * output: the predictions, in the plan's memory until its next run. */
cnn_status cnn_trainer_run(cnn_model *model, cnn_mode mode, const cnn_batch *batch, double *loss,
                           const cnn_tensor **output);

cnn_status cnn_trainer_reset_metrics(cnn_model *model, const cnn_tensor *label);
cnn_status cnn_trainer_update_metrics(cnn_model *model, const cnn_batch *batch, const cnn_tensor *output);

/* A run within a run measures apart: takes the metrics away, as if there were none yet, and gives them back. */
void cnn_trainer_take_metrics(cnn_model *model, cnn_metric_state *state);
void cnn_trainer_give_metrics(cnn_model *model, cnn_metric_state *state);

/* Tells that weights were changed from outside. */
void cnn_trainer_touch_weights(cnn_model *model);

#endif
