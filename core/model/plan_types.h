/* The parts of a plan, shared by the files that make and run it. */
#ifndef CNN_MODEL_PLAN_TYPES_H
#define CNN_MODEL_PLAN_TYPES_H

#include "model/plan.h"

typedef enum value_kind { VALUE_INPUT, VALUE_LABEL, VALUE_CONSTANT, VALUE_COMPUTED } value_kind;

/* Where bytes are: in a lane's memory, in the plan's own, or not given a place. For sampled values offset is that of
 * the first sample held, and rows follow each other. */
typedef enum place_kind { PLACE_NONE, PLACE_LANE, PLACE_WHOLE } place_kind;
typedef struct place {
    place_kind kind;
    size_t offset;
} place;

typedef struct value {
    value_kind kind;
    cnn_tensor head;          /* dtype and shape for the whole batch; data of constants */
    const cnn_tensor *source; /* the graph's tensor; NULL for losses and labels */
    int index;                /* of the input or label; of the trainable variable, or -1 */
    int alias_of;             /* another value whose memory, and gradient, this is; or -1 */
    bool sampled;             /* the first axis is the batch */
    bool wanted;              /* kept for the caller: an output or a loss */
    bool needs_gradient;
    int consumers; /* steps that read it or an alias of it, and callers who want it */
    place data, gradient;
    bool gradient_started; /* while scheduling: some backward step has written it already */
} value;

/* How backward of a step reaches the gradient of one of its inputs. */
typedef enum gradient_mode { GRADIENT_NONE, GRADIENT_DIRECT, GRADIENT_VIA_TEMPORARY } gradient_mode;

enum { MOST_FUSED = 3 };

typedef struct step {
    const cnn_op *op;
    const cnn_op *fused[MOST_FUSED]; /* what it took over of the steps after it; NULL-terminated */
    const struct cnn_layer *layer; /* whose call has this for its result, borrowed from the graph; or NULL */
    void *attributes;              /* owned */
    cnn_op_info info;
    int n_inputs;
    int *inputs; /* values; owned */
    int output;
    bool training;   /* the plan's flag, unless the op is to behave as in inference */
    bool per_sample; /* by info, and all inputs are sampled or shared */
    bool backward;   /* has a backward that somebody needs */
    int forward_pass, backward_pass;
    place saved;
    size_t prepared;      /* offset in the plan's memory */
    gradient_mode *modes; /* for each input; owned */
    place *temporaries;   /* for GRADIENT_VIA_TEMPORARY; owned */
} step;

typedef struct pass {
    bool depth_first;
    int first, count;       /* steps [first, first+count); one if not depth first */
    bool forward, backward; /* what of them is run; backward in reverse order */
    int lanes;
    int64_t micro;                /* samples at a time */
    size_t lane_bytes;            /* memory per thread, without scratch */
    size_t sums_first, sums_size; /* of the plan's gradient, what each lane sums apart; in floats */
} pass;

typedef struct variable {
    cnn_tensor *tensor; /* retained */
    size_t gradient;    /* offset in floats */
} variable;

struct cnn_plan {
    int64_t batch;
    bool training, gradients;
    bool prepared;      /* the weights have not changed since prepare last ran */
    bool fingerprinted; /* and this is what they were then */
    uint64_t fingerprint;
    int n_values, value_capacity;
    value *values;
    int n_steps, step_capacity;
    step *steps;
    int n_passes;
    pass *passes;
    int n_variables, variable_capacity;
    variable *variables;
    int n_outputs, n_losses;
    int *outputs, *losses; /* values */
    cnn_tensor *output_heads;
    cnn_tensor **graph; /* the graph's outputs, retained: they hold the constants */

    size_t gradient_floats;
    float *gradient; /* all variables' */
    size_t whole_bytes, thread_stride, scratch_bytes, sums_floats;
    char *whole, *threads; /* per thread: scratch, then lane memory */
    int n_threads;
    float *sums;

    cnn_plan_times times;
};

/* The value whose memory this one is. */
static inline int plan_root(const cnn_plan *plan, int index) {
    while (plan->values[index].alias_of >= 0) index = plan->values[index].alias_of;
    return index;
}

/* True if the input's gradient is added to by backward itself. */
static inline bool step_shares(const step *s, int input) {
    return input < 30 && (s->op->shared >> input & 1);
}

static inline bool step_needs(const step *s, int input) {
    return input < 30 ? (s->op->needs >> input & 1) : (s->op->needs & 1);
}

cnn_status cnn_plan_compile(cnn_plan *plan, const cnn_plan_options *options);
cnn_status cnn_plan_fuse(cnn_plan *plan);
cnn_status cnn_plan_schedule(cnn_plan *plan);

/* ---- arena ----------------------------------------------------------------------------------------------- */

/* Bytes needed from the time `first` to the time `last`, both inclusive; offset is the result. */
typedef struct span {
    size_t bytes, offset;
    int first, last;
} span;

/* Offsets such that spans that overlap in time do not overlap in memory; returns the total, a multiple of the
 * alignment, or SIZE_MAX when out of memory. */
size_t cnn_arena_plan(span *spans, int count);

#endif
