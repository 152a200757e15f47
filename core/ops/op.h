/* Ops: the one unit of computation. An op is a struct of functions on concrete tensors,
 *
 *   infer     from the inputs' shapes: the output's shape and the memory a call needs, or the error
 *   prepare   once a step, from the inputs without a sample axis: weights rearranged for the kernels
 *   forward   inputs → output, and what backward will need beside them
 *   backward  gradient of the output → gradients of the inputs
 *
 * and everything that computes - eager calls, the tape, a compiled plan - runs these and nothing else.
 *
 * Samples. Most ops are per sample: row n of the output depends on row n of the inputs alone. Such an op may be
 * called on any range of rows, serially, from several threads at once; its inputs named in `shared` (weights) have
 * no sample axis and are seen whole. Other ops see the whole batch at once and spread their work themselves.
 *
 * Gradients. backward adds to the gradients of shared inputs (they sum over samples) and overwrites all others. Only
 * those wanted are not NULL. It may rely on what `needs` names and on `saved`, nothing else. */
#ifndef CNN_OPS_OP_H
#define CNN_OPS_OP_H

#include "base/config.h"
#include "tensor/tensor.h"

enum { CNN_NEEDS_OUTPUT = 1 << 30 };

/* No op has more inputs. */
enum { CNN_MAX_INPUTS = 64 };

typedef struct cnn_op cnn_op;

/* What infer tells. Sizes in bytes. A first size of -1 among the inputs (unknown batch) is passed on. */
typedef struct cnn_op_info {
    cnn_dtype dtype;
    int rank;
    int64_t shape[CNN_MAX_RANK];
    bool per_sample; /* preset to the op's flag; infer may clear it: a reduction over the first axis */
    bool training;   /* preset: the calls will be of training */
    size_t saved;    /* kept from forward to backward: for each sample, or in all if not per sample */
    size_t scratch;  /* working memory of one running call, whatever its number of samples */
    double
        flops; /* that forward must do, for each sample or in all likewise: of products of weights; 0 elsewhere */
    size_t prepared; /* written by prepare, read by all calls of the step */
} cnn_op_info;

/* One call. Fields of backward are not set in forward. */
typedef struct cnn_op_call {
    const void *attributes; /* the op's own struct, a cnn_object */
    int n_inputs;
    const cnn_tensor *const *inputs; /* in backward, data is valid for the needed ones only; shapes always */
    cnn_tensor *output;              /* likewise */
    void *saved;                     /* NULL in forward where no backward will follow */
    void *scratch, *prepared;
    bool training;
    bool backward_follows; /* for prepare: make the part that backward needs too */
    bool forward_done;     /* for prepare: no forward follows; grad_inputs tells what backward is for */
    int64_t once;          /* samples that prepare is done for, if they are all there will be; else 0 */
    uint64_t step; /* distinct for each training step: with the op's own seed, keys its random numbers */
    int64_t first_sample; /* the position in the batch of row 0: random numbers go by sample, not by call */
    const cnn_tensor *grad_output;
    cnn_tensor *const *grad_inputs;
} cnn_op_call;

struct cnn_op {
    cnn_class class
        ; /* kind "op"; its params are the attributes, plain numbers and choices only (copied as bytes) */
    int min_inputs, max_inputs;
    bool per_sample;
    bool self_parallel; /* spreads its own work with cnn_parallel when called on the whole batch */
    bool alias;         /* the output is input 0 under another shape: forward and backward are never called */
    unsigned shared;    /* bit i: input i has no sample axis */
    unsigned needs;     /* what backward reads: bit i for input i, CNN_NEEDS_OUTPUT */
    unsigned constant;  /* bit i: input i never has a gradient (labels); it may be of any dtype */
    unsigned any_dtype; /* bit i: input i may be of any dtype, with a gradient if it is float32 */
    bool random;        /* draws random numbers, by call->step and its own seed */
    cnn_status (*infer)(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info);
    void (*prepare)(const cnn_op_call *call); /* may be NULL */
    cnn_status (*forward)(const cnn_op_call *call);
    cnn_status (*backward)(const cnn_op_call *call); /* NULL: not differentiable */
};

/* All ops, NULL-terminated; and those among them that are losses: of y_pred [N,…] and y_true, giving [N]. */
extern const cnn_op *const cnn_ops[];
extern const cnn_op *const cnn_losses[];
/* By name, or an error with the nearest. */
cnn_status cnn_op_find(const cnn_op **out, const char *name);

/* Checks the number of inputs and their dtypes' presence, then infers. inputs may be symbolic. */
cnn_status cnn_op_infer(const cnn_op *op, const void *attributes, const cnn_tensor *const *inputs,
                        int n_inputs, bool training, cnn_op_info *info);

/* Applies the op, as cnn_apply does, with attributes as its struct (copied where kept). NULL: the defaults. */
cnn_status cnn_op_apply(cnn_tensor **out, const cnn_op *op, const void *attributes, cnn_tensor *const *inputs,
                        int n_inputs, bool training);

/* ---- eager pieces, also under the tape ------------------------------------------------------------------ */

/* Runs forward on the whole batch, in lanes if the op is per sample. saved: NULL, or info.saved (times the batch if
 * per sample) bytes. output has info's shape. */
cnn_status cnn_op_forward(const cnn_op *op, const void *attributes, const cnn_op_info *info,
                          const cnn_tensor *const *inputs, int n_inputs, cnn_tensor *output, void *saved,
                          bool training, uint64_t step);
/* All gradients are overwritten, shared ones too. */
cnn_status cnn_op_backward(const cnn_op *op, const void *attributes, const cnn_op_info *info,
                           const cnn_tensor *const *inputs, int n_inputs, cnn_tensor *output, void *saved,
                           bool training, uint64_t step, const cnn_tensor *grad_output,
                           cnn_tensor *const *grad_inputs);

/* ---- symbolic graphs ------------------------------------------------------------------------------------ */

/* The application that makes a symbolic tensor. A graph is these nodes, held by the tensors that depend on them. */
typedef struct cnn_node {
    int refs;
    const cnn_op *op; /* NULL: an input of a model */
    void *attributes; /* owned; op->class.size bytes */
    int n_inputs;
    cnn_tensor **inputs; /* retained; symbolic or concrete */
    bool inference;      /* behaves as in inference in training too */
    struct cnn_call
        *call; /* the layer call whose result this is; owned by the layers' floor, freed by its hook */
    struct cnn_node *next; /* while waiting to be freed */
} cnn_node;

/* While it is on, in this thread, ops that are applied run, or are put into a graph, as in inference, whatever is said
 * of training. Returns what it was before. */
bool cnn_ops_as_inference(bool on);

/* While a counter is set, in this thread, random ops that run in training take their steps from it and count it on;
 * with NULL, from the default generator. Returns what was set before. */
uint64_t *cnn_ops_count_steps(uint64_t *counter);

/* A new symbolic tensor [-1, shape…] that nothing makes. */
cnn_status cnn_symbolic_input(cnn_tensor **out, int rank, const int64_t *shape, cnn_dtype dtype);

/* Set by the layers' floor: releases a node's layer call. */
extern void (*cnn_call_release_hook)(struct cnn_call *call);

/* ---- lanes ---------------------------------------------------------------------------------------------- */

/* A batch is cut into lanes, each a range of consecutive samples with its own sums of weight gradients, which are
 * then added in the order of the lanes. Their number depends on the batch and the size of those sums alone. */
enum { CNN_MAX_LANES = 16 };
int cnn_lane_count(int64_t batch, size_t gradient_bytes);
/* Lane i's samples are [from, to). */
void cnn_lane_range(int64_t batch, int lanes, int lane, int64_t *from, int64_t *to);
/* out[i] = (add ? out[i] : 0) + Σ over lanes of sums[lane·stride + i], in order; in parallel. */
void cnn_lanes_sum(float *out, bool add, const float *sums, int lanes, int64_t stride, int64_t count);

#endif
