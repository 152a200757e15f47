/* Rows and columns of zeros around pictures. */
#include "ops/shape.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)n_inputs;
    const cnn_zero_pad2d *a = attributes;
    const cnn_tensor *x = inputs[0];
    if (x->rank != 4) {
        char shape[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "zero_pad2d: expected an input [N,H,W,C], got shape %s",
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    }
    cnn_infer_like(info, x);
    info->shape[1] += (int64_t)a->top + a->bottom;
    info->shape[2] += (int64_t)a->left + a->right;
    return CNN_OK;
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_zero_pad2d *a = call->attributes;
    const cnn_tensor *x = call->inputs[0], *y = call->output;
    size_t row = (size_t)(x->shape[2] * x->shape[3]), wide = (size_t)(y->shape[2] * y->shape[3]);
    const float *from = cnn_f32(x);
    float *to = cnn_f32(y);
    memset(to, 0, cnn_tensor_bytes(y));
    for (int64_t n = 0; n < x->shape[0]; n++) {
        float *sample = to + (size_t)(n * y->shape[1] + a->top) * wide + (size_t)(a->left * x->shape[3]);
        for (int64_t r = 0; r < x->shape[1]; r++, from += row)
            memcpy(sample + (size_t)r * wide, from, row * sizeof *to);
    }
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_zero_pad2d *a = call->attributes;
    if (!call->grad_inputs[0]) return CNN_OK;
    const int64_t from[4] = {0, a->top, a->left, 0}, step[4] = {1, 1, 1, 1};
    cnn_slice_into(call->grad_inputs[0], call->grad_output, from, step);
    return CNN_OK;
}

enum { MOST = 1 << 16 };

static const cnn_param params[] = {
    CNN_PARAM(INT, cnn_zero_pad2d, top, "0", .high = MOST, .help = "rows of zeros above"),
    CNN_PARAM(INT, cnn_zero_pad2d, bottom, "0", .high = MOST, .help = "rows of zeros below"),
    CNN_PARAM(INT, cnn_zero_pad2d, left, "0", .high = MOST, .help = "columns of zeros on the left"),
    CNN_PARAM(INT, cnn_zero_pad2d, right, "0", .high = MOST, .help = "columns of zeros on the right"),
    {0}};

/* Zeros around pictures: x [N,H,W,C] to [N, top+H+bottom, left+W+right, C]. */
const cnn_op cnn_op_zero_pad2d = {.class = CNN_CLASS("op", "zero_pad2d", NULL, cnn_zero_pad2d, params),
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .per_sample = true,
                                  .infer = infer,
                                  .forward = forward,
                                  .backward = backward};
