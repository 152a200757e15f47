/* Layer normalization (Ba, Kiros and Hinton 2016): each sample's last axes by their own mean and variance. */
#include "ops/norm.h"
#include "ops/shape.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <math.h>

/* x as a matrix of rows to be normalized. */
static void matrix_of(const cnn_op_call *call, int64_t *rows, int64_t *columns) {
    const cnn_tensor *x = call->inputs[0];
    int split = x->rank - ((const cnn_layer_norm *)call->attributes)->axes;
    *rows = cnn_sizes_product(x, 0, split);
    *columns = cnn_sizes_product(x, split, x->rank);
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)n_inputs;
    const cnn_tensor *x = inputs[0];
    int axes = ((const cnn_layer_norm *)attributes)->axes;
    char shape[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    cnn_shape_text(shape, sizeof shape, x->rank, x->shape);
    if (x->rank <= axes)
        return cnn_fail(CNN_ERROR_SHAPE, "layer_normalization: expected more than %d axes, got shape %s",
                        axes, shape);
    int64_t columns = cnn_sizes_product(x, x->rank - axes, x->rank);
    if (columns < 1)
        return cnn_fail(CNN_ERROR_SHAPE, "layer_normalization: nothing to normalize in shape %s", shape);
    for (int i = 1; i < 3; i++)
        if (inputs[i]->size != columns)
            return cnn_fail(CNN_ERROR_SHAPE,
                            "layer_normalization: %s of shape %s does not fit the last %d axes of shape %s",
                            i == 1 ? "gamma" : "beta",
                            cnn_shape_text(other, sizeof other, inputs[i]->rank, inputs[i]->shape), axes,
                            shape);
    cnn_infer_like(info, x);
    info->saved = 2 * sizeof(float) * (size_t)cnn_sizes_product(x, 1, x->rank - axes);
    return CNN_OK;
}

static cnn_status forward(const cnn_op_call *call) {
    int64_t rows, columns;
    matrix_of(call, &rows, &columns);
    cnn_kernel()->layer_normalize(cnn_f32(call->inputs[0]), cnn_f32(call->inputs[1]),
                                  cnn_f32(call->inputs[2]),
                                  (float)((const cnn_layer_norm *)call->attributes)->epsilon, rows, columns,
                                  cnn_f32(call->output), call->saved);
    return CNN_OK;
}

static float *data_of(const cnn_tensor *t) {
    return t ? cnn_f32(t) : NULL;
}

static cnn_status backward(const cnn_op_call *call) {
    int64_t rows, columns;
    matrix_of(call, &rows, &columns);
    cnn_kernel()->layer_normalize_grad(
        cnn_f32(call->inputs[0]), cnn_f32(call->grad_output), cnn_f32(call->inputs[1]), call->saved, rows,
        columns, data_of(call->grad_inputs[0]), data_of(call->grad_inputs[1]), data_of(call->grad_inputs[2]));
    return CNN_OK;
}

static const cnn_param params[] = {CNN_PARAM(FLOAT, cnn_layer_norm, epsilon, "0.001", .low = 0,
                                             .high = INFINITY, .help = "added to the variance"),
                                   CNN_PARAM(INT, cnn_layer_norm, axes, "1", .low = 1, .high = CNN_MAX_RANK,
                                             .help = "how many of the last axes are normalized together"),
                                   {0}};

const cnn_op cnn_op_layer_normalization = {
    .class = CNN_CLASS("op", "layer_normalization", "layer_norm", cnn_layer_norm, params),
    .min_inputs = 3,
    .max_inputs = 3,
    .per_sample = true,
    .shared = 1u << 1 | 1u << 2,
    .needs = 1u << 0 | 1u << 1,
    .infer = infer,
    .forward = forward,
    .backward = backward};
