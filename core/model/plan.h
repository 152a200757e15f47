/* The plan: a graph compiled, for one batch size and mode, into a list of passes over planned memory.
 *
 *   compile.c   graph → steps: one per op application, aliases dissolved, losses added, ops fused
 *   schedule.c  steps → passes, and a place in memory for every value and gradient
 *   arena.c     places that never live at the same time share memory
 *   execute.c   runs the passes
 *
 * A pass is either one step on the whole batch, or a run of per-sample steps done depth first: lane by lane (op.h),
 * and within a lane a few samples at a time through all the steps, so that what they hand on stays in the cache. In
 * training the last forward pass goes straight on into its own backward steps before it takes the next samples.
 * Values used within one such pass only live in memory per thread, `micro` samples of them; others have a place for the
 * whole batch. Nothing is allocated while a plan runs.
 *
 * The weights' gradients of a depth-first pass are summed lane by lane and the lanes' sums then added in order: results
 * depend on the batch size, never on the number of threads. */
#ifndef CNN_MODEL_PLAN_H
#define CNN_MODEL_PLAN_H

#include "ops/op.h"
#include "base/text.h"

typedef struct cnn_plan cnn_plan;

typedef struct cnn_plan_loss {
    int output;              /* which of the outputs is y_pred */
    const cnn_op *op;        /* one of cnn_losses */
    const void *attributes;  /* copied */
    const cnn_tensor *label; /* its dtype and shape; the first size is ignored */
} cnn_plan_loss;

typedef struct cnn_plan_options {
    int64_t batch;
    bool training;  /* ops behave as in training: dropout drops */
    bool gradients; /* run backward from the losses to the trainable variables */
    cnn_tensor *const *inputs;
    int n_inputs;
    cnn_tensor *const *outputs;
    int n_outputs;
    const cnn_plan_loss *losses;
    int n_losses;
} cnn_plan_options;

/* What one run is given. */
typedef struct cnn_plan_feed {
    const void *const *inputs; /* data of each input, of its dtype, [batch, …] */
    const void *const *labels; /* of each loss */
    const float *const
        *seeds;    /* with gradients: of each loss [batch], the weight of each sample's loss in the total */
    uint64_t step; /* different for each training step */
    bool weights_changed;  /* since this plan's last run */
    bool weights_doubtful; /* they may have changed: the plan looks; so it does in its first run */
} cnn_plan_feed;

/* What its runs took since timing began, in seconds. */
typedef struct cnn_plan_times {
    int runs, threads;
    double total, prepare;
    double *steps; /* [threads][steps][forward, backward]; NULL: runs are not timed */
} cnn_plan_times;

cnn_status cnn_plan_new(cnn_plan **out, const cnn_plan_options *options);
void cnn_plan_free(cnn_plan *plan);
cnn_status cnn_plan_run(cnn_plan *plan, const cnn_plan_feed *feed);

/* Results of the last run, in the plan's memory. */
const cnn_tensor *cnn_plan_output(const cnn_plan *plan, int output); /* [batch, …] */
const float *cnn_plan_loss_values(const cnn_plan *plan, int loss);   /* [batch] */

/* The trainable variables' tensors and gradients, in the order of their first use. */
int cnn_plan_variable_count(const cnn_plan *plan);
cnn_tensor *cnn_plan_variable(const cnn_plan *plan, int index);
float *cnn_plan_gradient(const cnn_plan *plan, int index);

size_t cnn_plan_bytes(const cnn_plan *plan);

/* From here on runs are timed, until cnn_plan_stop_timing, which forgets what was measured. */
cnn_status cnn_plan_start_timing(cnn_plan *plan);
void cnn_plan_stop_timing(cnn_plan *plan);
const cnn_plan_times *cnn_plan_timed(const cnn_plan *plan);

/* Floating-point operations of one run, of products of weights. */
double cnn_plan_flops(const cnn_plan *plan);

/* A table of the plan's passes and steps, with times where there are some. peak: multiply-adds' GFLOP/s of all threads. */
void cnn_plan_describe(cnn_text *text, const cnn_plan *plan, double peak);

#endif
