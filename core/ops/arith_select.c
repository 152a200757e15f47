/* Ops that let some elements through and others not: maxima and minima over axes, where. */
#include "ops/arith.h"
#include "ops/shape.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "tensor/rows.h"

#include <string.h>

static const cnn_param no_params[] = {{0}};

/* ---- max and min --------------------------------------------------------------------------------------- */

static cnn_status extreme_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                cnn_op_info *info) {
    char shape[CNN_SHAPE_TEXT];
    unsigned axes;
    CNN_TRY(cnn_reduction_infer(attributes, inputs, n_inputs, info));
    CNN_TRY(cnn_reduction_axes(&axes, attributes, inputs[0]->rank));
    for (int i = 0; i < inputs[0]->rank; i++)
        if ((axes >> i & 1) && inputs[0]->shape[i] == 0)
            return cnn_fail(CNN_ERROR_SHAPE, "%s: nothing to choose from along axis %d of shape %s",
                            ((const cnn_object *)attributes)->class->name, i,
                            cnn_shape_text(shape, sizeof shape, inputs[0]->rank, inputs[0]->shape));
    info->scratch = sizeof(float);
    for (int i = 0; i < info->rank; i++) info->scratch *= info->shape[i] > 0 ? (size_t)info->shape[i] : 1;
    return CNN_OK;
}

static cnn_status extreme_forward(const cnn_op_call *call, cnn_reduce_op op) {
    unsigned axes;
    CNN_TRY(cnn_reduction_axes(&axes, call->attributes, call->inputs[0]->rank));
    if (call->output->size > 0) cnn_reduce_into(call->output, op, call->inputs[0], axes);
    return CNN_OK;
}

/* Where in the result row `row` of x, along its last axis, begins; `step` from one element to the next. */
static int64_t place_of_row(const cnn_tensor *x, unsigned axes, int64_t row, int64_t *step) {
    int last = x->rank - 1;
    int64_t at = 0, stride = last >= 0 && !(axes >> last & 1) ? x->shape[last] : 1;
    *step = last >= 0 && !(axes >> last & 1);
    for (int i = last - 1; i >= 0; i--) {
        if (!(axes >> i & 1)) {
            at += row % x->shape[i] * stride;
            stride *= x->shape[i];
        }
        row /= x->shape[i];
    }
    return at;
}

/* Equals share the gradient. */
static cnn_status extreme_backward(const cnn_op_call *call) {
    const cnn_tensor *input = call->inputs[0];
    unsigned axes;
    CNN_TRY(cnn_reduction_axes(&axes, call->attributes, input->rank));
    if (!call->grad_inputs[0] || input->size == 0) return CNN_OK;
    const float *x = cnn_f32(input), *y = cnn_f32(call->output), *dy = cnn_f32(call->grad_output);
    float *dx = cnn_f32(call->grad_inputs[0]), *count = call->scratch;
    int64_t columns = input->rank > 0 ? input->shape[input->rank - 1] : 1, rows = input->size / columns, step;
    memset(count, 0, cnn_tensor_bytes(call->grad_output));
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = place_of_row(input, axes, r, &step);
        for (int64_t i = 0; i < columns; i++)
            count[at + i * step] += x[r * columns + i] == y[at + i * step] ? 1.0f : 0.0f;
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = place_of_row(input, axes, r, &step);
        for (int64_t i = 0; i < columns; i++) {
            int64_t k = at + i * step;
            dx[r * columns + i] = x[r * columns + i] == y[k] ? dy[k] / count[k] : 0;
        }
    }
    return CNN_OK;
}

static cnn_status max_forward(const cnn_op_call *call) {
    return extreme_forward(call, CNN_MAX);
}

static cnn_status min_forward(const cnn_op_call *call) {
    return extreme_forward(call, CNN_MIN);
}

static const cnn_param reduction_params[] = {
    CNN_PARAM(SHAPE, cnn_reduction, axis, "null", .help = "the axis, or a list of axes, from 0; null: all"),
    CNN_PARAM(BOOL, cnn_reduction, keepdims, "false", .help = "keep those axes, with size 1"),
    {0}};

/* The largest over some axes or all; equals share the gradient. */
const cnn_op cnn_op_max = {.class = CNN_CLASS("op", "max", NULL, cnn_reduction, reduction_params),
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .self_parallel = true,
                           .needs = 1u << 0 | CNN_NEEDS_OUTPUT,
                           .infer = extreme_infer,
                           .forward = max_forward,
                           .backward = extreme_backward};

/* The smallest over some axes or all; equals share the gradient. */
const cnn_op cnn_op_min = {.class = CNN_CLASS("op", "min", NULL, cnn_reduction, reduction_params),
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .self_parallel = true,
                           .needs = 1u << 0 | CNN_NEEDS_OUTPUT,
                           .infer = extreme_infer,
                           .forward = min_forward,
                           .backward = extreme_backward};

/* ---- where --------------------------------------------------------------------------------------------- */

/* Seen whole, so that the three may be of any shapes; in scratch the condition as bytes, first in its own shape, then
 * in the result's, and floats of the result's shape. */
static cnn_status where_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                              cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    cnn_tensor both = {0};
    CNN_TRY(cnn_broadcast_shape("where", inputs[1], inputs[2], &both.rank, both.shape));
    CNN_TRY(cnn_broadcast_shape("where", inputs[0], &both, &info->rank, info->shape));
    size_t size = 1, condition = inputs[0]->size > 0 ? (size_t)inputs[0]->size : 1;
    for (int i = 0; i < info->rank; i++) size *= info->shape[i] > 0 ? (size_t)info->shape[i] : 1;
    info->per_sample = false;
    info->scratch = size * sizeof(float) + size + condition;
    return CNN_OK;
}

/* The condition in the shape of `like`. */
static const uint8_t *mask_of(const cnn_op_call *call, const cnn_tensor *like) {
    const cnn_tensor *condition = call->inputs[0];
    float zero = 0;
    cnn_tensor zeros = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &zero);
    uint8_t *bytes = (uint8_t *)call->scratch + cnn_tensor_bytes(like);
    cnn_tensor mask = cnn_tensor_wrap(CNN_UINT8, like->rank, like->shape, bytes);
    cnn_tensor own = cnn_tensor_wrap(CNN_UINT8, condition->rank, condition->shape, bytes + like->size);
    cnn_binary_into(&own, CNN_NOT_EQUAL, condition, &zeros);
    cnn_broadcast_into(&mask, &own);
    return bytes;
}

static cnn_status where_forward(const cnn_op_call *call) {
    if (call->output->size == 0) return CNN_OK;
    const uint8_t *mask = mask_of(call, call->output);
    cnn_tensor chosen = *call->output;
    chosen.data = call->scratch;
    cnn_broadcast_into(&chosen, call->inputs[1]);
    cnn_broadcast_into(call->output, call->inputs[2]);
    const float *a = call->scratch;
    float *y = cnn_f32(call->output);
    for (int64_t i = 0; i < call->output->size; i++) y[i] = mask[i] ? a[i] : y[i];
    return CNN_OK;
}

static cnn_status where_backward(const cnn_op_call *call) {
    const cnn_tensor *dy = call->grad_output;
    const uint8_t *mask = mask_of(call, dy);
    cnn_tensor part = *dy;
    part.data = call->scratch;
    float *passed = call->scratch;
    for (int input = 1; input < 3; input++) {
        if (!call->grad_inputs[input]) continue;
        for (int64_t i = 0; i < dy->size; i++)
            passed[i] = (mask[i] != 0) == (input == 1) ? cnn_f32(dy)[i] : 0;
        cnn_sum_to_into(call->grad_inputs[input], &part);
    }
    return CNN_OK;
}

/* condition ? a : b, element by element, with broadcasting. */
const cnn_op cnn_op_where = {.class = CNN_CLASS("op", "where", NULL, cnn_plain_op, no_params),
                             .min_inputs = 3,
                             .max_inputs = 3,
                             .self_parallel = true,
                             .needs = 1u << 0,
                             .constant = 1u << 0,
                             .infer = where_infer,
                             .forward = where_forward,
                             .backward = where_backward};
