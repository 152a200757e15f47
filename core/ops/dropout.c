/* Dropout (Srivastava et al. 2014), inverted: what is kept is scaled up in training, so that nothing is to be
 * done afterwards. Which elements go depends on seed, step and an element's place in the batch alone. */
#include "ops/dropout.h"
#include "ops/shape.h"
#include "base/status.h"
#include "kernels/kernels.h"

#include <string.h>

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[0];
    cnn_infer_like(info, x);
    /* A byte an element; with no samples, that is one. */
    info->saved = x->rank > 0 ? (size_t)cnn_sample_size(x) : 1;
    return CNN_OK;
}

static cnn_dropout_stream stream_of(const cnn_op_call *call) {
    const cnn_dropout *a = call->attributes;
    return (cnn_dropout_stream){.key = (uint64_t)(int64_t)a->seed,
                                .step = call->step,
                                .threshold = (uint64_t)(a->rate * 4294967296.0),
                                .scale = a->rate < 1 ? (float)(1 / (1 - a->rate)) : 0.0f};
}

static bool is_identity(const cnn_op_call *call) {
    return !call->training || ((const cnn_dropout *)call->attributes)->rate == 0;
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    if (is_identity(call)) {
        memcpy(call->output->data, x->data, cnn_tensor_bytes(x));
        return CNN_OK;
    }
    cnn_dropout_stream stream = stream_of(call);
    uint64_t row = x->rank > 0 ? (uint64_t)cnn_sample_size(x) : 1;
    cnn_kernel()->dropout(&stream, (uint64_t)call->first_sample * row, cnn_f32(x), cnn_f32(call->output),
                          call->saved, x->size);
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    if (is_identity(call))
        memcpy(dx->data, call->grad_output->data, cnn_tensor_bytes(dx));
    else
        cnn_kernel()->dropout_grad(stream_of(call).scale, call->saved, cnn_f32(call->grad_output),
                                   cnn_f32(dx), dx->size);
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(FLOAT, cnn_dropout, rate, NULL, .low = 0, .high = 1, .help = "the share of elements set to 0"),
    CNN_PARAM(INT, cnn_dropout, seed, "0", .help = "with the step, chooses the elements"),
    {0}};

const cnn_op cnn_op_dropout = {.class = CNN_CLASS("op", "dropout", NULL, cnn_dropout, params),
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .per_sample = true,
                               .random = true,
                               .infer = infer,
                               .forward = forward,
                               .backward = backward};
