/* The dense layer's product with its bias and, where a plan fuses it, relu; and the bias alone. */
#include "ops/dense.h"
#include "ops/shape.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <string.h>

static cnn_status check_bias(const char *who, const cnn_tensor *b, int64_t size) {
    char shape[CNN_SHAPE_TEXT];
    if (b->rank == 1 && b->shape[0] == size) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: expected a bias (%d,), got shape %s", who, (int)size,
                    cnn_shape_text(shape, sizeof shape, b->rank, b->shape));
}

/* db += Σ rows of dy. Columns are shared out, so that each sum runs over the rows in order. */
typedef struct row_sum {
    const float *dy;
    float *db;
    int64_t rows, columns;
} row_sum;

static void sum_columns(void *context, int64_t from, int64_t to) {
    const row_sum *s = context;
    cnn_kernel()->sum_rows(s->dy + from, s->rows, to - from, s->columns, s->db + from);
}

static void add_rows(const float *dy, int64_t rows, int64_t columns, float *db) {
    row_sum s = {dy, db, rows, columns};
    bool little = rows * columns < 1 << 16;
    if (columns > 0) cnn_parallel_ranges(columns, little ? columns : 32, sum_columns, &s);
}

/* ---- dense --------------------------------------------------------------------------------------------- */

/* Rows of gradients before relu that backward rebuilds at a time: about a megabyte. */
static int64_t block_rows(int64_t outputs) {
    int64_t rows = (1 << 18) / (outputs > 0 ? outputs : 1);
    return rows < 32 ? 32 : rows > 1024 ? 1024 : rows;
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    const cnn_dense *a = attributes;
    const cnn_tensor *x = inputs[0], *w = inputs[1];
    char shape[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    if (x->rank < 2)
        return cnn_fail(CNN_ERROR_SHAPE, "dense: expected an input [N,…,K], got shape %s",
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    if (w->rank != 2 || w->shape[0] != x->shape[x->rank - 1])
        return cnn_fail(CNN_ERROR_SHAPE, "dense: weights of shape %s do not fit an input of shape %s",
                        cnn_shape_text(other, sizeof other, w->rank, w->shape),
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    if (n_inputs > 2) CNN_TRY(check_bias("dense", inputs[2], w->shape[1]));
    cnn_infer_like(info, x);
    info->shape[x->rank - 1] = w->shape[1];
    if (a->relu) info->scratch = (size_t)(block_rows(w->shape[1]) * w->shape[1]) * sizeof(float);
    return CNN_OK;
}

typedef struct epilogue {
    const float *bias;
    bool relu;
    float *y;
    int64_t columns;
} epilogue;

static void finish_rows(void *context, int64_t from, int64_t to) {
    const epilogue *e = context;
    float *y = e->y + from * e->columns;
    cnn_kernel()->bias_relu(e->bias, e->relu, y, y, to - from, e->columns);
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_dense *a = call->attributes;
    const cnn_tensor *w = call->inputs[1];
    const float *bias = call->n_inputs > 2 ? cnn_f32(call->inputs[2]) : NULL;
    int64_t k = w->shape[0], m = w->shape[1],
            rows = cnn_sizes_product(call->output, 0, call->output->rank - 1);
    float *y = cnn_f32(call->output);
    cnn_gemm(false, false, rows, m, k, 1, cnn_f32(call->inputs[0]), k, cnn_f32(w), m, 0, y, m);
    epilogue e = {bias, a->relu, y, m};
    if (bias || a->relu) cnn_parallel_ranges(rows, 1 + (1 << 16) / (m + 1), finish_rows, &e);
    return CNN_OK;
}

/* The gradients from those of `rows` rows of sums. dx is overwritten, the others are added to. */
static void backward_rows(const cnn_op_call *call, const float *x, const float *dy, int64_t rows, float *dx) {
    const cnn_tensor *w = call->inputs[1];
    int64_t k = w->shape[0], m = w->shape[1];
    cnn_tensor *dw = call->grad_inputs[1], *db = call->n_inputs > 2 ? call->grad_inputs[2] : NULL;
    if (dx) cnn_gemm(false, true, rows, k, m, 1, dy, m, cnn_f32(w), m, 0, dx, k);
    if (dw) cnn_gemm(true, false, k, m, rows, 1, x, k, dy, m, 1, cnn_f32(dw), m);
    if (db) add_rows(dy, rows, m, cnn_f32(db));
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_dense *a = call->attributes;
    const cnn_tensor *w = call->inputs[1], *gradient = call->grad_output;
    int64_t k = w->shape[0], m = w->shape[1], rows = cnn_sizes_product(gradient, 0, gradient->rank - 1);
    const float *x = cnn_f32(call->inputs[0]), *dy = cnn_f32(gradient);
    float *dx = call->grad_inputs[0] ? cnn_f32(call->grad_inputs[0]) : NULL, *sums = call->scratch;
    if (!a->relu) {
        backward_rows(call, x, dy, rows, dx);
        return CNN_OK;
    }
    const float *y = cnn_f32(call->output);
    int64_t block = block_rows(m);
    for (int64_t from = 0; from < rows; from += block) {
        int64_t count = rows - from < block ? rows - from : block;
        cnn_kernel()->activate_grad(CNN_ACTIVATION_RELU, 0, y + from * m, dy + from * m, sums, count * m);
        backward_rows(call, x + from * k, sums, count, dx ? dx + from * k : NULL);
    }
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(BOOL, cnn_dense, relu, "false", .help = "apply relu to the result in the same pass"), {0}};

const cnn_op cnn_op_dense = {.class =
                                 CNN_CLASS("op", "dense", NULL, cnn_dense, params,
                                           "x [N,…,K] times weights [K,M], plus bias [M] if given: [N,…,M]."),
                             .min_inputs = 2,
                             .max_inputs = 3,
                             .per_sample = true,
                             .self_parallel = true,
                             .shared = 1u << 1 | 1u << 2,
                             .needs = 1u << 0 | 1u << 1 | CNN_NEEDS_OUTPUT,
                             .infer = infer,
                             .forward = forward,
                             .backward = backward};

/* ---- bias_add ------------------------------------------------------------------------------------------ */

static cnn_status bias_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                             cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[0];
    if (x->rank < 2) {
        char shape[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "bias_add: expected an input [N,…,C], got shape %s",
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    }
    CNN_TRY(check_bias("bias_add", inputs[1], x->shape[x->rank - 1]));
    cnn_infer_like(info, x);
    return CNN_OK;
}

static cnn_status bias_forward(const cnn_op_call *call) {
    int64_t columns = call->inputs[1]->shape[0];
    if (columns > 0)
        cnn_kernel()->bias_relu(cnn_f32(call->inputs[1]), false, cnn_f32(call->inputs[0]),
                                cnn_f32(call->output), call->output->size / columns, columns);
    return CNN_OK;
}

static cnn_status bias_backward(const cnn_op_call *call) {
    const cnn_tensor *dy = call->grad_output;
    cnn_tensor *dx = call->grad_inputs[0], *db = call->grad_inputs[1];
    int64_t columns = dy->shape[dy->rank - 1];
    if (dx) memcpy(dx->data, dy->data, cnn_tensor_bytes(dy));
    if (db && columns > 0)
        cnn_kernel()->sum_rows(cnn_f32(dy), dy->size / columns, columns, columns, cnn_f32(db));
    return CNN_OK;
}

static const cnn_param no_params[] = {{0}};

const cnn_op cnn_op_bias_add = {
    .class = CNN_CLASS("op", "bias_add", NULL, cnn_plain_op, no_params, "x [N,…,C] plus bias [C]."),
    .min_inputs = 2,
    .max_inputs = 2,
    .per_sample = true,
    .shared = 1u << 1,
    .infer = bias_infer,
    .forward = bias_forward,
    .backward = bias_backward};
