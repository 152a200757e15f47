/* Softmax along an axis and its logarithm. The kernels want the axis last: of another axis, [outer, n, inner]
 * is turned into [outer, inner, n] and back, one outer index at a time, in scratch. */
#include "ops/softmax.h"
#include "ops/shape.h"
#include "base/status.h"
#include "kernels/kernels.h"

typedef struct layout {
    int64_t outer, n, inner;
} layout;

static cnn_status layout_of(layout *out, const cnn_op_call *call, const cnn_tensor *y) {
    const cnn_softmax *a = call->attributes;
    int axis;
    CNN_TRY(cnn_normalize_axis(a->class->name, a->axis, y->rank, &axis));
    out->outer = cnn_sizes_product(y, 0, axis);
    out->n = y->shape[axis];
    out->inner = cnn_sizes_product(y, axis + 1, y->rank);
    return CNN_OK;
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)n_inputs;
    const cnn_softmax *a = attributes;
    const cnn_tensor *x = inputs[0];
    int axis;
    CNN_TRY(cnn_normalize_axis(a->class->name, a->axis, x->rank, &axis));
    cnn_infer_like(info, x);
    if (axis == 0) info->per_sample = false;
    if (axis < x->rank - 1) {
        int64_t block = cnn_sizes_product(x, axis, x->rank);
        info->scratch = 3 * sizeof(float) * (size_t)(block > 0 ? block : 0);
    }
    return CNN_OK;
}

/* [rows, columns] → [columns, rows] */
static void turn(const float *in, float *out, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[c * rows + r] = in[r * columns + c];
}

static bool is_logarithm(const cnn_op_call *call) {
    return ((const cnn_softmax *)call->attributes)->class == &cnn_op_log_softmax.class;
}

static cnn_status forward(const cnn_op_call *call) {
    layout l;
    CNN_TRY(layout_of(&l, call, call->output));
    const float *x = cnn_f32(call->inputs[0]);
    float *y = cnn_f32(call->output), *turned = call->scratch;
    const cnn_kernels *k = cnn_kernel();
    if (l.inner == 1) {
        k->softmax(is_logarithm(call), x, y, l.outer, l.n);
        return CNN_OK;
    }
    for (int64_t i = 0; i < l.outer; i++, x += l.n * l.inner, y += l.n * l.inner) {
        turn(x, turned, l.n, l.inner);
        k->softmax(is_logarithm(call), turned, turned, l.inner, l.n);
        turn(turned, y, l.inner, l.n);
    }
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    layout l;
    CNN_TRY(layout_of(&l, call, call->grad_output));
    if (!call->grad_inputs[0]) return CNN_OK;
    int64_t block = l.n * l.inner;
    const float *y = cnn_f32(call->output), *dy = cnn_f32(call->grad_output);
    float *dx = cnn_f32(call->grad_inputs[0]), *turned = call->scratch;
    const cnn_kernels *k = cnn_kernel();
    if (l.inner == 1) {
        k->softmax_grad(is_logarithm(call), y, dy, dx, l.outer, l.n);
        return CNN_OK;
    }
    for (int64_t i = 0; i < l.outer; i++, y += block, dy += block, dx += block) {
        turn(y, turned, l.n, l.inner);
        turn(dy, turned + block, l.n, l.inner);
        k->softmax_grad(is_logarithm(call), turned, turned + block, turned + 2 * block, l.inner, l.n);
        turn(turned + 2 * block, dx, l.inner, l.n);
    }
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(INT, cnn_softmax, axis, "-1", .help = "the axis along which the results sum to 1"), {0}};

const cnn_op cnn_op_softmax = {.class = CNN_CLASS("op", "softmax", NULL, cnn_softmax, params),
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .per_sample = true,
                               .needs = CNN_NEEDS_OUTPUT,
                               .infer = infer,
                               .forward = forward,
                               .backward = backward};

const cnn_op cnn_op_log_softmax = {.class = CNN_CLASS("op", "log_softmax", NULL, cnn_softmax, params),
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .per_sample = true,
                                   .needs = CNN_NEEDS_OUTPUT,
                                   .infer = infer,
                                   .forward = forward,
                                   .backward = backward};
