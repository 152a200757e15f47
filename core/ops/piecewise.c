/* Ops that are straight lines in pieces: clip, Keras's ReLU with all its arguments, PReLU. */
#include "ops/piecewise.h"
#include "ops/shape.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    cnn_infer_like(info, inputs[0]);
    return CNN_OK;
}

/* ---- clip ---------------------------------------------------------------------------------------------- */

static void bounds(const cnn_clip_op *a, float *low, float *high) {
    *low = isnan(a->low) ? -INFINITY : (float)a->low;
    *high = isnan(a->high) ? INFINITY : (float)a->high;
}

static cnn_status clip_forward(const cnn_op_call *call) {
    const float *x = cnn_f32(call->inputs[0]);
    float *y = cnn_f32(call->output), low, high;
    bounds(call->attributes, &low, &high);
    for (int64_t i = 0; i < call->output->size; i++) {
        float v = x[i] < low ? low : x[i]; /* in this order NaN stays */
        y[i] = v > high ? high : v;
    }
    return CNN_OK;
}

static cnn_status clip_backward(const cnn_op_call *call) {
    if (!call->grad_inputs[0]) return CNN_OK;
    const float *x = cnn_f32(call->inputs[0]), *dy = cnn_f32(call->grad_output);
    float *dx = cnn_f32(call->grad_inputs[0]), low, high;
    bounds(call->attributes, &low, &high);
    for (int64_t i = 0; i < call->grad_output->size; i++) dx[i] = x[i] >= low && x[i] <= high ? dy[i] : 0.0f;
    return CNN_OK;
}

static const cnn_param clip_params[] = {
    CNN_PARAM(FLOAT, cnn_clip_op, low, "null", .nullable = true, .help = "the least result; null: none"),
    CNN_PARAM(FLOAT, cnn_clip_op, high, "null", .nullable = true, .help = "the largest result; null: none"),
    {0}};

/* x held within [low, high]; beyond there is no gradient. */
const cnn_op cnn_op_clip = {.class = CNN_CLASS("op", "clip", NULL, cnn_clip_op, clip_params),
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .needs = 1u << 0,
                            .infer = infer,
                            .forward = clip_forward,
                            .backward = clip_backward};

/* ---- ReLU with all its arguments ----------------------------------------------------------------------- */

static cnn_status relu_forward(const cnn_op_call *call) {
    const cnn_bounded_relu *a = call->attributes;
    const float *x = cnn_f32(call->inputs[0]);
    float *y = cnn_f32(call->output), slope = (float)a->negative_slope, threshold = (float)a->threshold;
    float most = isnan(a->max_value) ? INFINITY : (float)a->max_value;
    for (int64_t i = 0; i < call->output->size; i++) {
        float v = x[i] < threshold ? slope * (x[i] - threshold) : x[i];
        y[i] = v > most ? most : v;
    }
    return CNN_OK;
}

static cnn_status relu_backward(const cnn_op_call *call) {
    const cnn_bounded_relu *a = call->attributes;
    if (!call->grad_inputs[0]) return CNN_OK;
    const float *x = cnn_f32(call->inputs[0]), *dy = cnn_f32(call->grad_output);
    float *dx = cnn_f32(call->grad_inputs[0]), slope = (float)a->negative_slope,
          threshold = (float)a->threshold;
    float most = isnan(a->max_value) ? INFINITY : (float)a->max_value;
    for (int64_t i = 0; i < call->grad_output->size; i++)
        dx[i] = x[i] >= most ? 0 : x[i] > threshold ? dy[i] : slope * dy[i];
    return CNN_OK;
}

static const cnn_param relu_params[] = {CNN_PARAM(FLOAT, cnn_bounded_relu, max_value, "null",
                                                  .nullable = true, .low = 0, .high = INFINITY,
                                                  .help = "the largest result; null: none"),
                                        CNN_PARAM(FLOAT, cnn_bounded_relu, negative_slope, "0", .low = 0,
                                                  .high = INFINITY, .help = "the slope below the threshold"),
                                        CNN_PARAM(FLOAT, cnn_bounded_relu, threshold, "0", .low = 0,
                                                  .high = INFINITY, .help = "where x begins to pass"),
                                        {0}};

/* x from threshold to max_value, max_value above, negative_slope·(x - threshold) below. */
const cnn_op cnn_op_bounded_relu = {.class =
                                        CNN_CLASS("op", "bounded_relu", NULL, cnn_bounded_relu, relu_params),
                                    .min_inputs = 1,
                                    .max_inputs = 1,
                                    .per_sample = true,
                                    .needs = 1u << 0,
                                    .infer = infer,
                                    .forward = relu_forward,
                                    .backward = relu_backward};

/* ---- PReLU --------------------------------------------------------------------------------------------- */

/* He et al. 2015: x where it is positive, alpha·x elsewhere. In scratch what one sample gives to alpha's gradient,
 * before and after it is summed over the shared axes. */
static cnn_status prelu_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                              cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[0], *alpha = inputs[1];
    bool fits = x->rank > 1 && alpha->rank == x->rank - 1;
    for (int i = 0; fits && i < alpha->rank; i++)
        fits = alpha->shape[i] == 1 || alpha->shape[i] == x->shape[i + 1];
    if (!fits) {
        char shape[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "prelu: alpha of shape %s does not fit an input of shape %s",
                        cnn_shape_text(other, sizeof other, alpha->rank, alpha->shape),
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    }
    cnn_infer_like(info, x);
    size_t row = (size_t)cnn_sample_size(x);
    info->scratch = (CNN_ROUND_UP(row, CNN_ALIGN) + (size_t)alpha->size) * sizeof(float);
    return CNN_OK;
}

static cnn_status prelu_forward(const cnn_op_call *call) {
    const float *x = cnn_f32(call->inputs[0]);
    float *y = cnn_f32(call->output);
    if (call->output->size == 0) return CNN_OK;
    cnn_broadcast_into(call->output, call->inputs[1]);
    for (int64_t i = 0; i < call->output->size; i++) y[i] = x[i] > 0 ? x[i] : y[i] * x[i];
    return CNN_OK;
}

static void add_alpha_gradient(const cnn_op_call *call, int64_t sample) {
    const cnn_tensor *alpha = call->inputs[1];
    int64_t row = cnn_sample_size(call->inputs[0]);
    const float *x = cnn_f32(call->inputs[0]) + sample * row, *dy = cnn_f32(call->grad_output) + sample * row;
    float *each = call->scratch, *sums = each + CNN_ROUND_UP((size_t)row, CNN_ALIGN);
    for (int64_t i = 0; i < row; i++) each[i] = x[i] > 0 ? 0 : dy[i] * x[i];
    cnn_tensor from = cnn_tensor_wrap(CNN_FLOAT32, alpha->rank, call->inputs[0]->shape + 1, each);
    cnn_tensor to = cnn_tensor_wrap(CNN_FLOAT32, alpha->rank, alpha->shape, sums);
    cnn_sum_to_into(&to, &from);
    for (int64_t i = 0; i < alpha->size; i++) cnn_f32(call->grad_inputs[1])[i] += sums[i];
}

static cnn_status prelu_backward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    cnn_tensor *dx = call->grad_inputs[0];
    if (x->size == 0) return CNN_OK;
    if (call->grad_inputs[1])
        for (int64_t n = 0; n < x->shape[0]; n++) add_alpha_gradient(call, n);
    if (!dx) return CNN_OK;
    const float *dy = cnn_f32(call->grad_output);
    cnn_broadcast_into(dx, call->inputs[1]);
    for (int64_t i = 0; i < dx->size; i++)
        cnn_f32(dx)[i] = cnn_f32(x)[i] > 0 ? dy[i] : cnn_f32(dx)[i] * dy[i];
    return CNN_OK;
}

static const cnn_param no_params[] = {{0}};

/* x where it is positive, alpha·x elsewhere; alpha is of a sample's shape, with 1 on axes that share. */
const cnn_op cnn_op_prelu = {.class = CNN_CLASS("op", "prelu", NULL, cnn_plain_op, no_params),
                             .min_inputs = 2,
                             .max_inputs = 2,
                             .per_sample = true,
                             .shared = 1u << 1,
                             .needs = 1u << 0 | 1u << 1,
                             .infer = prelu_infer,
                             .forward = prelu_forward,
                             .backward = prelu_backward};
