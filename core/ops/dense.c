/* The dense layer's product with its bias and, where a plan fuses it, relu; and the bias alone. */
#include "ops/dense.h"
#include "ops/product.h"
#include "ops/shape.h"
#include "base/memory.h"
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

/* Weights [k,m] that small are transposed once a step: lanes of a few samples each would do it time and again. */
static bool is_small(int64_t k, int64_t m) {
    return k * m <= 1 << 15;
}

/* The three products of `rows` samples: x·w, dy·wᵀ, where w may come transposed, and xᵀ·dy, which is added. */
static cnn_product product_y(int64_t rows, int64_t k, int64_t m, const float *x, const float *w, float *y) {
    return (cnn_product){.rows = rows,
                         .columns = m,
                         .steps = k,
                         .a = x,
                         .b = w,
                         .c = y,
                         .a_row = k,
                         .a_step = 1,
                         .b_step = m,
                         .b_column = 1,
                         .c_row = m};
}

static cnn_product product_dx(int64_t rows, int64_t k, int64_t m, const float *dy, const float *w,
                              const float *transposed, float *dx) {
    return (cnn_product){.rows = rows,
                         .columns = k,
                         .steps = m,
                         .a = dy,
                         .b = transposed ? transposed : w,
                         .c = dx,
                         .a_row = m,
                         .a_step = 1,
                         .b_step = transposed ? k : 1,
                         .b_column = transposed ? 1 : m,
                         .c_row = k};
}

static cnn_product product_dw(int64_t rows, int64_t k, int64_t m, const float *x, const float *dy,
                              float *dw) {
    return (cnn_product){.rows = k,
                         .columns = m,
                         .steps = rows,
                         .a = x,
                         .b = dy,
                         .c = dw,
                         .a_row = 1,
                         .a_step = k,
                         .b_step = m,
                         .b_column = 1,
                         .c_row = m,
                         .add = true};
}

/* Backward's gradients before relu come first. */
static size_t sums_bytes(const cnn_dense *a, int64_t rows, int64_t m) {
    int64_t block = block_rows(m);
    return a->relu ? CNN_ROUND_UP((size_t)((rows < block ? rows : block) * m) * sizeof(float), CNN_ALIGN) : 0;
}

static size_t scratch_bytes(int64_t rows, int64_t k, int64_t m) {
    cnn_product y = product_y(rows, k, m, NULL, NULL, NULL),
                dx = product_dx(rows, k, m, NULL, NULL, NULL, NULL),
                dw = product_dw(rows, k, m, NULL, NULL, NULL);
    size_t forward = cnn_products_scratch(&y),
           backward = cnn_products_scratch(&dx) + cnn_products_scratch(&dw);
    return forward > backward ? forward : backward;
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
    info->flops =
        x->size > 0 && x->shape[0] > 0 ? 2.0 * (double)(x->size / x->shape[0]) * (double)w->shape[1] : 0;
    int64_t k = w->shape[0], m = w->shape[1];
    int64_t rows = x->shape[0] > 0 ? cnn_sizes_product(x, 0, x->rank - 1) : 0; /* 0: not known yet */
    info->scratch = sums_bytes(a, rows, m) + scratch_bytes(rows, k, m);
    if (is_small(k, m)) info->prepared = (size_t)(k * m) * sizeof(float);
    return CNN_OK;
}

static void prepare(const cnn_op_call *call) {
    const cnn_tensor *w = call->inputs[1];
    bool wanted = call->backward_follows && !(call->forward_done && !call->grad_inputs[0]);
    if (wanted && is_small(w->shape[0], w->shape[1]))
        cnn_kernel()->transpose(cnn_f32(w), w->shape[0], w->shape[1], call->prepared);
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_dense *a = call->attributes;
    const cnn_tensor *w = call->inputs[1];
    int64_t rows = cnn_sizes_product(call->output, 0, call->output->rank - 1);
    cnn_product p = product_y(rows, w->shape[0], w->shape[1], cnn_f32(call->inputs[0]), cnn_f32(w),
                              cnn_f32(call->output));
    p.bias = call->n_inputs > 2 ? cnn_f32(call->inputs[2]) : NULL;
    p.relu = a->relu;
    cnn_products(&p, 1, call->scratch);
    return CNN_OK;
}

/* The gradients from those of `rows` rows of sums. dx is overwritten, the others are added to. */
static void backward_rows(const cnn_op_call *call, const float *x, const float *dy, int64_t rows, float *dx,
                          void *scratch) {
    const cnn_tensor *w = call->inputs[1];
    int64_t k = w->shape[0], m = w->shape[1];
    cnn_tensor *dw = call->grad_inputs[1], *db = call->n_inputs > 2 ? call->grad_inputs[2] : NULL;
    cnn_product products[CNN_MAX_PRODUCTS];
    int count = 0;
    if (dx)
        products[count++] =
            product_dx(rows, k, m, dy, cnn_f32(w), is_small(k, m) ? call->prepared : NULL, dx);
    if (dw) products[count++] = product_dw(rows, k, m, x, dy, cnn_f32(dw));
    cnn_products(products, count, scratch);
    if (db) add_rows(dy, rows, m, cnn_f32(db));
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_dense *a = call->attributes;
    const cnn_tensor *w = call->inputs[1], *gradient = call->grad_output;
    int64_t k = w->shape[0], m = w->shape[1], rows = cnn_sizes_product(gradient, 0, gradient->rank - 1);
    const float *x = cnn_f32(call->inputs[0]), *dy = cnn_f32(gradient);
    float *dx = call->grad_inputs[0] ? cnn_f32(call->grad_inputs[0]) : NULL, *sums = call->scratch;
    if (!a->relu) {
        backward_rows(call, x, dy, rows, dx, call->scratch);
        return CNN_OK;
    }
    const float *y = cnn_f32(call->output);
    int64_t block = block_rows(m);
    char *scratch = (char *)call->scratch + sums_bytes(a, rows, m);
    for (int64_t from = 0; from < rows; from += block) {
        int64_t count = rows - from < block ? rows - from : block;
        cnn_kernel()->activate_grad(CNN_ACTIVATION_RELU, 0, y + from * m, dy + from * m, sums, count * m);
        backward_rows(call, x + from * k, sums, count, dx ? dx + from * k : NULL, scratch);
    }
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(BOOL, cnn_dense, relu, "false", .help = "apply relu to the result in the same pass"), {0}};

const cnn_op cnn_op_dense = {.class = CNN_CLASS("op", "dense", NULL, cnn_dense, params),
                             .min_inputs = 2,
                             .max_inputs = 3,
                             .per_sample = true,
                             .self_parallel = true,
                             .shared = 1u << 1 | 1u << 2,
                             .needs = 1u << 0 | 1u << 1 | CNN_NEEDS_OUTPUT,
                             .infer = infer,
                             .prepare = prepare,
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

const cnn_op cnn_op_bias_add = {.class = CNN_CLASS("op", "bias_add", NULL, cnn_plain_op, no_params),
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .per_sample = true,
                                .shared = 1u << 1,
                                .infer = bias_infer,
                                .forward = bias_forward,
                                .backward = bias_backward};
