/* What compile gives a model: an optimizer, a loss, metrics, and the plans that run them. */
#ifndef CNN_TRAIN_TRAINER_H
#define CNN_TRAIN_TRAINER_H

#include "model/model.h"
#include "model/plan.h"
#include "train/callback.h"
#include "train/metric.h"
#include "train/optimizer.h"

typedef enum cnn_mode { CNN_MODE_TRAIN, CNN_MODE_TEST, CNN_MODE_PREDICT } cnn_mode;

/* Figures are what a run logs: the loss, the losses of several outputs, the metrics; with their val_ they fit in logs. */
enum { CNN_MAX_FIGURES = CNN_MAX_LOGS / 2, CNN_MAX_PLANS = 6 };

/* A plan and what it was made for. */
typedef struct cnn_cached_plan {
    cnn_plan *plan;
    float *seeds;        /* [outputs, batch] */
    cnn_update *updates; /* one a trainable variable, the model's first and in their order */
    int update_count;
    cnn_mode mode;
    int64_t batch;
    uint64_t signature; /* of the wiring, the labels and what is trainable */
    uint64_t last_use;
    uint64_t steps_seen, doubts_seen; /* the trainer's counts at its last run */
} cnn_cached_plan;

/* Metrics, each with the last size and the rank of the labels it was made for. */
typedef struct cnn_metric_state {
    cnn_metric *metrics[CNN_MAX_FIGURES]; /* NULL until the first labels are seen */
    int64_t label_sizes[CNN_MAX_FIGURES];
    int label_ranks[CNN_MAX_FIGURES];
} cnn_metric_state;

/* What an output is trained for. */
typedef struct cnn_target {
    char *name;    /* the output's */
    void *loss;    /* attributes of a loss op, a cnn_object */
    double weight; /* of the loss in the total */
} cnn_target;

typedef struct cnn_trainer {
    cnn_optimizer *optimizer; /* NULL until compiled */
    int target_count;         /* one for each output of the model */
    cnn_target targets[CNN_MAX_FIGURES];
    int metric_count;
    cJSON *metric_specs[CNN_MAX_FIGURES];
    int metric_outputs[CNN_MAX_FIGURES]; /* which output each measures */
    int figure_count;
    char *figure_names[CNN_MAX_FIGURES];
    cnn_metric_state measured;
    cnn_cached_plan plans[CNN_MAX_PLANS];
    int plan_count;
    uint64_t clock;  /* of plan uses */
    uint64_t steps;  /* that have changed the weights */
    uint64_t doubts; /* calls from outside that may have */
    uint64_t seed;   /* with the iterations, keys dropout */
} cnn_trainer;

/* The model's trainer, made if there is none: predict works on a model not compiled. */
cnn_status cnn_trainer_of(cnn_trainer **out, cnn_model *model);
cnn_status cnn_trainer_expect_compiled(const cnn_model *model, const char *who);

/* One batch: data of the shapes the plan is made for. */
typedef struct cnn_batch {
    int64_t count;
    const void *x[CNN_MAX_INPUTS];        /* of each input */
    const void *y[CNN_MAX_FIGURES];       /* of each output, as all that follows; not looked at in PREDICT */
    cnn_tensor *const *labels;            /* dtype and shape of y; the first size is ignored */
    const float *weight[CNN_MAX_FIGURES]; /* [count] or NULL */
} cnn_batch;

/* Runs the batch. TRAIN: one optimizer step. losses: first the total, Σ weight·loss + regularization, then the loss of
 * each output, the mean of its samples' weighted losses; NULL in PREDICT.
 * outputs: the predictions of each output, in the plan's memory until its next run. */
cnn_status cnn_trainer_run(cnn_model *model, cnn_mode mode, const cnn_batch *batch, double *losses,
                           const cnn_tensor **outputs);

/* labels: of each output. */
cnn_status cnn_trainer_reset_metrics(cnn_model *model, cnn_tensor *const *labels);
cnn_status cnn_trainer_update_metrics(cnn_model *model, const cnn_batch *batch,
                                      const cnn_tensor *const *outputs);

/* A run within a run measures apart: takes the metrics away, as if there were none yet, and gives them back. */
void cnn_trainer_take_metrics(cnn_model *model, cnn_metric_state *state);
void cnn_trainer_give_metrics(cnn_model *model, cnn_metric_state *state);

/* Makes the optimizer's state, for those who read or write it, if no step has yet: in the order of the model's variables
 * whose value is trainable. */
cnn_status cnn_trainer_build_optimizer(cnn_model *model);

/* Sums over a pass, in the order of the figures: the total loss, then of several outputs that of each. */
typedef struct cnn_loss_sums {
    double totals[CNN_MAX_FIGURES], weight;
} cnn_loss_sums;

/* Where fit stands: with the model, its trainer and the default generator, all that it takes to go on in another
 * process. It is up to date at CNN_BATCH_SAVE and CNN_EPOCH_SAVE; fit begins where CNN_RESUME leaves it. */
typedef struct cnn_fit_state {
    int epoch;       /* the next to run, from 0; if step > 0 the running one */
    int step;        /* how many of its batches are done */
    int64_t samples; /* of training; only to be read, as is batch_size */
    int batch_size;
    cnn_random order;   /* the default generator before it drew the running epoch's order */
    cnn_loss_sums sums; /* of the running epoch; its metrics are the trainer's */
    cnn_logs logs;      /* of the last batch */
    cJSON *record;      /* owned: the backup that the run goes on from, whose names logs has; may be NULL */
    struct cnn_history *history;
} cnn_fit_state;

/* The plan of the last run, NULL before the first; it lives until others have taken its place. */
cnn_plan *cnn_trainer_last_plan(const cnn_model *model);

/* Tells that weights may have been changed from outside. */
void cnn_trainer_touch_weights(cnn_model *model);

#endif
