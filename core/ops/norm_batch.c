/* Batch normalization (Ioffe and Szegedy 2015) over all axes but the last.
 *
 * In training, unless frozen, each channel is normalized by its mean and variance in the batch. So the op sees the
 * batch whole; it moves towards them the moving statistics, which are inputs: the one exception to the rule that ops
 * do not write to these. Otherwise the moving statistics stand for the batch's, and the op is per sample.
 *
 * Rows are cut into at most BLOCKS blocks by their number alone. Each is summed by a task of its own, in double; the
 * blocks are then added in their order, so that the result is the same for any number of threads. */
#include "ops/norm.h"
#include "ops/shape.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <math.h>

enum { BLOCKS = 32, BLOCK_ELEMENTS = 1 << 14, GRAIN = 1 << 15 };
enum { X, GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE, FROZEN };

/* ---- infer --------------------------------------------------------------------------------------------- */

static bool by_batch(bool training, const cnn_tensor *const *inputs) {
    return training && !cnn_i32(inputs[FROZEN])[0];
}

static size_t vector_floats(int64_t channels) {
    return CNN_ROUND_UP((size_t)channels, CNN_ALIGN / sizeof(float));
}

static cnn_status check_vectors(const cnn_tensor *const *inputs, int64_t channels) {
    static const char *const names[] = {"x", "gamma", "beta", "moving_mean", "moving_variance"};
    char shape[CNN_SHAPE_TEXT];
    for (int i = GAMMA; i <= MOVING_VARIANCE; i++)
        if (inputs[i]->rank != 1 || inputs[i]->shape[0] != channels || inputs[i]->dtype != CNN_FLOAT32)
            return cnn_fail(CNN_ERROR_SHAPE, "batch_normalization: expected %s (%lld,), got %s of shape %s",
                            names[i], (long long)channels, cnn_dtype_name(inputs[i]->dtype),
                            cnn_shape_text(shape, sizeof shape, inputs[i]->rank, inputs[i]->shape));
    const cnn_tensor *frozen = inputs[FROZEN];
    if (frozen->dtype != CNN_INT32 || frozen->size != 1 || !frozen->data)
        return cnn_fail(CNN_ERROR_ARGUMENT, "batch_normalization: 'frozen' must be one int32");
    return CNN_OK;
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[X];
    char shape[CNN_SHAPE_TEXT];
    if (x->rank < 2 || x->shape[x->rank - 1] < 1)
        return cnn_fail(CNN_ERROR_SHAPE, "batch_normalization: expected an input [N,…,C], got shape %s",
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    int64_t channels = x->shape[x->rank - 1];
    CNN_TRY(check_vectors(inputs, channels));
    cnn_infer_like(info, x);
    info->scratch = (size_t)channels * 2 * (BLOCKS + 1) * sizeof(double) + CNN_ALIGN +
                    4 * vector_floats(channels) * sizeof(float);
    if (!by_batch(info->training, inputs)) return CNN_OK;
    info->per_sample = false;
    info->saved = 2 * (size_t)channels * sizeof(float);
    return CNN_OK;
}

/* ---- one call ------------------------------------------------------------------------------------------ */

typedef struct run {
    const cnn_kernels *kernels;
    int64_t rows, channels;
    const float *x, *dy;
    float *out;
    int blocks;
    int64_t block_rows;
    double *totals, *partial;                   /* [2,C]; [blocks,2,C] */
    float *vectors;                             /* room for four by channel */
    const float *mean, *scale, *offset, *slope; /* by channel */
} run;

static float *vector(const run *r, int i) {
    return r->vectors + (size_t)i * vector_floats(r->channels);
}

static run open_run(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[X];
    run r = {.kernels = cnn_kernel(), .channels = x->shape[x->rank - 1], .x = cnn_f32(x)};
    r.rows = x->size / r.channels;
    r.block_rows = BLOCK_ELEMENTS / r.channels + 1;
    if (r.rows > BLOCKS * r.block_rows) r.block_rows = (r.rows + BLOCKS - 1) / BLOCKS;
    r.blocks = (int)((r.rows + r.block_rows - 1) / r.block_rows);
    r.totals = call->scratch;
    r.partial = r.totals + 2 * r.channels;
    size_t doubles = 2 * (size_t)r.channels * (BLOCKS + 1) * sizeof(double);
    r.vectors = (float *)((char *)call->scratch + CNN_ROUND_UP(doubles, CNN_ALIGN));
    return r;
}

static int64_t rows_of(const run *r, int64_t block) {
    int64_t left = r->rows - block * r->block_rows;
    return left < r->block_rows ? left : r->block_rows;
}

static void moments_of_block(void *context, int64_t block, int thread) {
    const run *r = context;
    double *mean = r->partial + 2 * r->channels * block;
    (void)thread;
    r->kernels->batch_moments(r->x + block * r->block_rows * r->channels, rows_of(r, block), r->channels,
                              mean, mean + r->channels);
}

static void sums_of_block(void *context, int64_t block, int thread) {
    const run *r = context;
    int64_t at = block * r->block_rows * r->channels;
    double *sums = r->partial + 2 * r->channels * block;
    (void)thread;
    r->kernels->batch_sums(r->x + at, r->dy + at, r->mean, rows_of(r, block), r->channels, sums,
                           sums + r->channels);
}

/* Means and sums of squares around them, merged as Chan, Golub & LeVeque (1983) do. */
static void merge_moments(void *context, int64_t from, int64_t to) {
    const run *r = context;
    double *mean = r->totals, *squares = mean + r->channels;
    for (int64_t c = from; c < to; c++) mean[c] = squares[c] = 0;
    for (int64_t b = 0, before = 0; b < r->blocks; before += rows_of(r, b++)) {
        const double *mean_b = r->partial + 2 * r->channels * b, *squares_b = mean_b + r->channels;
        double share = (double)rows_of(r, b) / (double)(before + rows_of(r, b));
        for (int64_t c = from; c < to; c++) {
            double delta = mean_b[c] - mean[c];
            mean[c] += delta * share;
            squares[c] += squares_b[c] + delta * delta * ((double)before * share);
        }
    }
}

static void merge_sums(void *context, int64_t from, int64_t to) {
    const run *r = context;
    for (int64_t c = from; c < to; c++) r->totals[c] = r->totals[r->channels + c] = 0;
    for (int b = 0; b < r->blocks; b++) {
        const double *sums = r->partial + 2 * r->channels * b;
        for (int64_t c = from; c < to; c++) {
            r->totals[c] += sums[c];
            r->totals[r->channels + c] += sums[r->channels + c];
        }
    }
}

static void normalize_rows(void *context, int64_t from, int64_t to) {
    const run *r = context;
    int64_t at = from * r->channels;
    r->kernels->batch_normalize(r->x + at, r->mean, r->scale, r->offset, to - from, r->channels, r->out + at);
}

static void pass_back_rows(void *context, int64_t from, int64_t to) {
    const run *r = context;
    int64_t at = from * r->channels;
    r->kernels->batch_normalize_grad(r->x + at, r->dy + at, r->mean, r->scale, r->offset, r->slope, to - from,
                                     r->channels, r->out + at);
}

static void in_rows(run *r, cnn_range_task *body) {
    cnn_parallel_ranges(r->rows, GRAIN / r->channels + 1, body, r);
}

static void in_blocks(run *r, cnn_task *body, cnn_range_task *merge) {
    cnn_parallel(r->blocks, body, r);
    cnn_parallel_ranges(r->channels, 512, merge, r);
}

/* ---- forward ------------------------------------------------------------------------------------------- */

/* Mean and 1 / sqrt(variance + epsilon) of the batch, and the moving statistics' step. As in Keras the biased variance
 * serves for both. */
static void take_batch(run *r, const cnn_op_call *call, float *mean, float *inverse) {
    const cnn_batch_norm *a = call->attributes;
    float *moving_mean = cnn_f32(call->inputs[MOVING_MEAN]),
          *moving_variance = cnn_f32(call->inputs[MOVING_VARIANCE]);
    in_blocks(r, moments_of_block, merge_moments);
    for (int64_t c = 0; c < r->channels; c++) {
        double variance = r->totals[r->channels + c] / (double)r->rows;
        mean[c] = (float)r->totals[c];
        inverse[c] = (float)(1 / sqrt(variance + a->epsilon));
        moving_mean[c] = (float)(moving_mean[c] * a->momentum + r->totals[c] * (1 - a->momentum));
        moving_variance[c] = (float)(moving_variance[c] * a->momentum + variance * (1 - a->momentum));
    }
}

static void take_moving(const run *r, const cnn_op_call *call, float *inverse) {
    const cnn_batch_norm *a = call->attributes;
    const float *variance = cnn_f32(call->inputs[MOVING_VARIANCE]);
    for (int64_t c = 0; c < r->channels; c++)
        inverse[c] = (float)(1 / sqrt((double)variance[c] + a->epsilon));
}

static cnn_status forward(const cnn_op_call *call) {
    run r = open_run(call);
    const float *gamma = cnn_f32(call->inputs[GAMMA]);
    float *mean = call->saved ? call->saved : vector(&r, 0), *inverse = mean + r.channels,
          *scale = vector(&r, 2);
    if (r.rows == 0) return CNN_OK;
    if (by_batch(call->training, call->inputs)) {
        if (!call->saved) inverse = vector(&r, 1);
        take_batch(&r, call, mean, inverse);
        r.mean = mean;
    } else {
        inverse = vector(&r, 1);
        take_moving(&r, call, inverse);
        r.mean = cnn_f32(call->inputs[MOVING_MEAN]);
    }
    for (int64_t c = 0; c < r.channels; c++) scale[c] = gamma[c] * inverse[c];
    r.scale = scale;
    r.offset = cnn_f32(call->inputs[BETA]);
    r.out = cnn_f32(call->output);
    in_rows(&r, normalize_rows);
    return CNN_OK;
}

/* ---- backward ------------------------------------------------------------------------------------------ */

static void add_to(cnn_tensor *gradient, const double *sums, const float *factor) {
    if (!gradient) return;
    float *out = cnn_f32(gradient);
    for (int64_t c = 0; c < gradient->size; c++)
        out[c] += (float)(sums[c] * (factor ? (double)factor[c] : 1));
}

/* With s = γ / sqrt(variance + epsilon), i the latter's inverse, n rows:
 *   dx = s·(dy - Σdy/n - (x - mean)·i²·Σ(dy·(x - mean))/n)    by the batch's statistics, and s·dy by others
 *   dγ = i·Σ(dy·(x - mean)),  dβ = Σdy */
static cnn_status backward(const cnn_op_call *call) {
    run r = open_run(call);
    bool batch = by_batch(call->training, call->inputs);
    const float *gamma = cnn_f32(call->inputs[GAMMA]), *inverse;
    float *scale = vector(&r, 1), *offset = vector(&r, 2), *slope = vector(&r, 3);
    if (r.rows == 0) return CNN_OK;
    r.dy = cnn_f32(call->grad_output);
    if (batch) {
        r.mean = call->saved;
        inverse = r.mean + r.channels;
    } else {
        r.mean = cnn_f32(call->inputs[MOVING_MEAN]);
        take_moving(&r, call, vector(&r, 0));
        inverse = vector(&r, 0);
    }
    if (batch || call->grad_inputs[GAMMA] || call->grad_inputs[BETA]) {
        in_blocks(&r, sums_of_block, merge_sums);
        add_to(call->grad_inputs[BETA], r.totals, NULL);
        add_to(call->grad_inputs[GAMMA], r.totals + r.channels, inverse);
    }
    if (!call->grad_inputs[X]) return CNN_OK;
    for (int64_t c = 0; c < r.channels; c++) {
        double i = inverse[c], n = (double)r.rows;
        scale[c] = gamma[c] * inverse[c];
        offset[c] = batch ? (float)(r.totals[c] / n) : 0;
        slope[c] = batch ? (float)(i * i * r.totals[r.channels + c] / n) : 0;
    }
    r.scale = scale;
    r.offset = offset;
    r.slope = slope;
    r.out = cnn_f32(call->grad_inputs[X]);
    in_rows(&r, pass_back_rows);
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(FLOAT, cnn_batch_norm, momentum, "0.99", .low = 0, .high = 1,
              .help = "what the moving statistics keep of themselves at each step"),
    CNN_PARAM(FLOAT, cnn_batch_norm, epsilon, "0.001", .low = 0, .high = INFINITY,
              .help = "added to the variance"),
    {0}};

/* gamma·(x - mean) / sqrt(variance + epsilon) + beta by channel: x [N,…,C], gamma, beta, moving_mean,
 * moving_variance [C], frozen int32 [1]. In training, unless frozen, mean and variance are the batch's and the
 * moving ones follow them; else they are the moving ones. */
const cnn_op cnn_op_batch_normalization = {
    .class = CNN_CLASS("op", "batch_normalization", "batch_norm", cnn_batch_norm, params),
    .min_inputs = 6,
    .max_inputs = 6,
    .per_sample = true,
    .shared = 1u << GAMMA | 1u << BETA | 1u << MOVING_MEAN | 1u << MOVING_VARIANCE | 1u << FROZEN,
    .needs = 1u << X | 1u << GAMMA | 1u << MOVING_MEAN | 1u << MOVING_VARIANCE | 1u << FROZEN,
    .constant = 1u << MOVING_MEAN | 1u << MOVING_VARIANCE | 1u << FROZEN,
    .infer = infer,
    .forward = forward,
    .backward = backward};
