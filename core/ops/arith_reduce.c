/* Sums, means and the product of matrices. */
#include "ops/arith.h"
#include "ops/shape.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

/* ---- sum and mean -------------------------------------------------------------------------------------- */

cnn_status cnn_reduction_axes(unsigned *axes, const cnn_reduction *a, int rank) {
    *axes = 0;
    if (a->axis.rank < 0) *axes = (1u << rank) - 1;
    if (a->axis.rank == 0) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'axis' names no axis", a->class->name);
    for (int i = 0; i < a->axis.rank; i++) {
        int64_t given = a->axis.sizes[i];
        int axis;
        CNN_TRY(cnn_normalize_axis(
            a->class->name, given < INT32_MIN || given > INT32_MAX ? INT32_MAX : (int)given, rank, &axis));
        *axes |= 1u << axis;
    }
    return CNN_OK;
}

/* The input's shape with 1 on the reduced axes; the number of elements that one sum takes. */
static int64_t kept_shape(const cnn_tensor *x, unsigned axes, int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < x->rank; i++) {
        bool reduced = axes >> i & 1;
        if (reduced) count *= x->shape[i];
        shape[i] = reduced ? 1 : x->shape[i];
    }
    return count;
}

cnn_status cnn_reduction_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                               cnn_op_info *info) {
    (void)n_inputs;
    const cnn_reduction *a = attributes;
    const cnn_tensor *x = inputs[0];
    unsigned axes;
    CNN_TRY(cnn_reduction_axes(&axes, a, x->rank));
    for (int i = 0; i < x->rank; i++) {
        bool reduced = axes >> i & 1;
        if (!reduced || a->keepdims) info->shape[info->rank++] = reduced ? 1 : x->shape[i];
    }
    info->per_sample = x->rank > 0 && !(axes & 1);
    return CNN_OK;
}

static cnn_status reduce(const cnn_op_call *call, cnn_reduce_op op) {
    unsigned axes;
    CNN_TRY(cnn_reduction_axes(&axes, call->attributes, call->inputs[0]->rank));
    cnn_reduce_into(call->output, op, call->inputs[0], axes);
    return CNN_OK;
}

static cnn_status spread(const cnn_op_call *call, bool mean) {
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    unsigned axes;
    CNN_TRY(cnn_reduction_axes(&axes, call->attributes, dx->rank));
    int64_t shape[CNN_MAX_RANK];
    float count = (float)kept_shape(dx, axes, shape);
    cnn_tensor dy = cnn_tensor_wrap(CNN_FLOAT32, dx->rank, shape, call->grad_output->data);
    cnn_tensor divisor = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &count);
    if (mean)
        cnn_binary_into(dx, CNN_DIV, &dy, &divisor);
    else
        cnn_broadcast_into(dx, &dy);
    return CNN_OK;
}

static cnn_status sum_forward(const cnn_op_call *call) {
    return reduce(call, CNN_SUM);
}

static cnn_status sum_backward(const cnn_op_call *call) {
    return spread(call, false);
}

static cnn_status mean_forward(const cnn_op_call *call) {
    return reduce(call, CNN_MEAN);
}

static cnn_status mean_backward(const cnn_op_call *call) {
    return spread(call, true);
}

static const cnn_param reduction_params[] = {
    CNN_PARAM(SHAPE, cnn_reduction, axis, "null", .help = "the axis, or a list of axes, from 0; null: all"),
    CNN_PARAM(BOOL, cnn_reduction, keepdims, "false", .help = "keep those axes, with size 1"),
    {0}};

const cnn_op cnn_op_sum = {.class = CNN_CLASS("op", "sum", NULL, cnn_reduction, reduction_params),
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .self_parallel = true,
                           .infer = cnn_reduction_infer,
                           .forward = sum_forward,
                           .backward = sum_backward};

const cnn_op cnn_op_mean = {.class = CNN_CLASS("op", "mean", NULL, cnn_reduction, reduction_params),
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .self_parallel = true,
                            .infer = cnn_reduction_infer,
                            .forward = mean_forward,
                            .backward = mean_backward};

/* ---- matmul -------------------------------------------------------------------------------------------- */

static cnn_status matmul_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                               cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[0], *y = inputs[1];
    if (x->rank != 2 || y->rank != 2 || x->shape[1] != y->shape[0]) {
        char left[CNN_SHAPE_TEXT], right[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "matmul: expected matrices [M,K] and [K,N], got shapes %s and %s",
                        cnn_shape_text(left, sizeof left, x->rank, x->shape),
                        cnn_shape_text(right, sizeof right, y->rank, y->shape));
    }
    info->rank = 2;
    info->shape[0] = x->shape[0];
    info->shape[1] = y->shape[1];
    return CNN_OK;
}

static cnn_status matmul_forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0], *y = call->inputs[1];
    int64_t m = x->shape[0], k = x->shape[1], n = y->shape[1];
    cnn_gemm(false, false, m, n, k, 1, cnn_f32(x), k, cnn_f32(y), n, 0, cnn_f32(call->output), n);
    return CNN_OK;
}

static cnn_status matmul_backward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0], *y = call->inputs[1];
    int64_t m = x->shape[0], k = x->shape[1], n = y->shape[1];
    const float *d = cnn_f32(call->grad_output);
    cnn_tensor *dx = call->grad_inputs[0], *dy = call->grad_inputs[1];
    if (dx) cnn_gemm(false, true, m, k, n, 1, d, n, cnn_f32(y), n, 0, cnn_f32(dx), k);
    if (dy) cnn_gemm(true, false, k, n, m, 1, cnn_f32(x), k, d, n, 0, cnn_f32(dy), n);
    return CNN_OK;
}

static const cnn_param no_params[] = {{0}};

/* The product of matrices [M,K] and [K,N]: [M,N]. */
const cnn_op cnn_op_matmul = {.class = CNN_CLASS("op", "matmul", NULL, cnn_plain_op, no_params),
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .self_parallel = true,
                              .needs = 1u << 0 | 1u << 1,
                              .infer = matmul_infer,
                              .forward = matmul_forward,
                              .backward = matmul_backward};
