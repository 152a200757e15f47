#include "ops/tape_ops.h"
#include "ops/shape.h"
#include "base/status.h"

static const cnn_param no_params[] = {{0}};

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    cnn_infer_like(info, inputs[0]);
    return CNN_OK;
}

static cnn_status forward(const cnn_op_call *call, cnn_unary_op op) {
    cnn_unary_into(call->output, op, call->inputs[0]);
    return CNN_OK;
}

/* dx = dy·f(x) */
static cnn_status times(const cnn_op_call *call, cnn_unary_op op) {
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    cnn_unary_into(dx, op, call->inputs[0]);
    cnn_binary_into(dx, CNN_MUL, dx, call->grad_output);
    return CNN_OK;
}

static cnn_status sin_forward(const cnn_op_call *call) {
    return forward(call, CNN_SIN);
}

static cnn_status sin_backward(const cnn_op_call *call) {
    return times(call, CNN_COS);
}

static cnn_status cos_forward(const cnn_op_call *call) {
    return forward(call, CNN_COS);
}

static cnn_status cos_backward(const cnn_op_call *call) {
    cnn_tensor *dx = call->grad_inputs[0];
    CNN_TRY(times(call, CNN_SIN));
    if (dx) cnn_unary_into(dx, CNN_NEG, dx);
    return CNN_OK;
}

static cnn_status log1p_forward(const cnn_op_call *call) {
    return forward(call, CNN_LOG1P);
}

/* dx = dy / (1 + x) */
static cnn_status log1p_backward(const cnn_op_call *call) {
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    float one = 1;
    cnn_tensor ones = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &one);
    cnn_binary_into(dx, CNN_ADD, call->inputs[0], &ones);
    cnn_binary_into(dx, CNN_DIV, call->grad_output, dx);
    return CNN_OK;
}

/* clang-format off */
const cnn_op cnn_op_sin = {
    .class = CNN_CLASS("op", "sin", NULL, cnn_plain_op, no_params),
    .min_inputs = 1, .max_inputs = 1, .per_sample = true, .needs = 1u << 0,
    .infer = infer, .forward = sin_forward, .backward = sin_backward};

const cnn_op cnn_op_cos = {
    .class = CNN_CLASS("op", "cos", NULL, cnn_plain_op, no_params),
    .min_inputs = 1, .max_inputs = 1, .per_sample = true, .needs = 1u << 0,
    .infer = infer, .forward = cos_forward, .backward = cos_backward};

const cnn_op cnn_op_log1p = {
    .class = CNN_CLASS("op", "log1p", NULL, cnn_plain_op, no_params),
    .min_inputs = 1, .max_inputs = 1, .per_sample = true, .needs = 1u << 0,
    .infer = infer, .forward = log1p_forward, .backward = log1p_backward};
/* clang-format on */
